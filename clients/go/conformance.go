// conformance PORT [CLUSTER-PORT]: the checks of clients/README.md with redigo, and its clusters with redisc.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/mna/redisc"
)

var address string
var r redis.Conn

func connect() redis.Conn {
	c, err := redis.Dial("tcp", address, redis.DialConnectTimeout(5*time.Second), redis.DialReadTimeout(10*time.Second))
	must("connect", err)
	return c
}

func must(check string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "FAILED %s: %v\n", check, err)
		os.Exit(1)
	}
}

// ask gives the words of a line to a connection, and shows the reply as text: 'string', integer, nil, OK, !CODE of an error.
func ask(c redis.Conn, line string) string {
	words := strings.Split(line, " ")
	var rest []interface{}
	for _, word := range words[1:] {
		rest = append(rest, word)
	}
	reply, err := c.Do(words[0], rest...)
	if err != nil {
		return show(err)
	}
	return show(reply)
}

func t(line string) string { return ask(r, line) }

func show(value interface{}) string {
	switch value := value.(type) {
	case nil:
		return "nil"
	case []byte:
		return "'" + string(value) + "'"
	case redis.Error: // a refusal; within an array too
		return "!" + strings.Fields(string(value))[0]
	case error:
		return "lost: " + value.Error()
	case []interface{}:
		var items []string
		for _, item := range value {
			items = append(items, show(item))
		}
		return "[" + strings.Join(items, " ") + "]"
	default:
		return fmt.Sprint(value)
	}
}

// ok compares what was got with what was expected, pair by pair.
func ok(check string, pairs ...string) {
	for n := 0; n < len(pairs); n += 2 {
		if pairs[n] != pairs[n+1] {
			fmt.Fprintf(os.Stderr, "FAILED %s: %s, not %s\n", check, pairs[n], pairs[n+1])
			os.Exit(1)
		}
	}
	fmt.Println("ok " + check)
}

func page(reply interface{}, err error) (cursor string, remaining int, ends []string) {
	must("collect", err)
	parts := reply.([]interface{})
	for _, end := range parts[2].([]interface{}) {
		ends = append(ends, show(end))
	}
	return string(parts[0].([]byte)), int(parts[1].(int64)), ends
}

func main() {
	address = "127.0.0.1:" + os.Args[1]
	r = connect()
	t("FLUSHALL")

	ok("push",
		t("TASK.PUSH q low ID a"), "'a'",
		t("TASK.PUSH q high ID b PRIORITY 5 ATTEMPTS 2 BACKOFF 50 LEASE 7000"), "'b'",
		t("TASK.PUSH q low ID a"), "'a'",
		t("TASK.PUSH q low ID a NX"), "nil")
	ok("claim",
		t("TASK.CLAIM q WORKER w"), "['b' 'high' 1 7000 nil]",
		t("TASK.CLAIM q COUNT 9"), "[['a' 'low' 1 30000 nil]]",
		t("TASK.CLAIM q"), "nil")
	began := time.Now()
	nothing, waited := t("TASK.CLAIM q BLOCK 200"), time.Since(began)
	t("TASK.PUSH q later ID c DELAY 200")
	ok("block",
		nothing, "nil",
		fmt.Sprint(waited > 150*time.Millisecond && waited < 5*time.Second), "true",
		t("TASK.CLAIM q BLOCK 5000"), "['c' 'later' 1 30000 nil]")
	t("TASK.PUSH q n ID d")
	ok("next",
		t("TASK.COMPLETE q c done ATTEMPT 1 NEXT BLOCK 1000"), "['d' 'n' 1 30000 nil]",
		t("TASK.COMPLETE q c again ATTEMPT 1"), "OK",
		t("TASK.COMPLETE q d done ATTEMPT 1 NEXT BLOCK 100"), "nil",
		t("TASK.RESULT q c BLOCK 1000"), "['completed' 'done']")
	ok("fail",
		t("TASK.FAIL q b oops ATTEMPT 1"), "scheduled",
		t("TASK.CLAIM q BLOCK 5000"), "['b' 'high' 2 7000 nil]",
		t("TASK.FAIL q b no ATTEMPT 2"), "failed",
		t("TASK.RESULT q b"), "['failed' 'no']",
		t("TASK.RETRY q b"), "1")
	ok("release",
		t("TASK.CLAIM q"), "['b' 'high' 3 7000 nil]",
		t("TASK.RELEASE q b ATTEMPT 3"), "OK",
		t("TASK.CLAIM q"), "['b' 'high' 4 7000 nil]")
	ok("extend",
		t("TASK.EXTEND q b ATTEMPT 4 CHECKPOINT half"), "OK",
		t("TASK.RELEASE q b ATTEMPT 4"), "OK",
		t("TASK.CLAIM q"), "['b' 'high' 5 7000 'half']")
	t("SET text x")
	ok("errors",
		t("TASK.COMPLETE q b x ATTEMPT 4"), "!STALE",
		t("TASK.COMPLETE q nobody x"), "!NOTASK",
		t("TASK.EXTEND q c ATTEMPT 1"), "!NOTCLAIMED",
		t("TASK.PUSH text x"), "!WRONGTYPE",
		t("TASK.PUSH q x COLOR red"), "!ERR",
		t("TASK.CANCEL q b"), "1",
		t("TASK.COMPLETE q b x ATTEMPT 5"), "!CANCELED")
	ok("array-errors", t("TASK.MCOMPLETE q 2 a 1 done b 5 done"), "[OK !CANCELED]")
	ok("gather", t("TASK.GATHER q 3 c b x BLOCK 100"), "[['c' 'completed' 'done'] ['b' 'canceled' nil] ['x' nil nil]]")
	for n := 0; n < 3; n++ {
		t(fmt.Sprintf("TASK.PUSH m %d ID m%d BATCH maps", n, n))
		t("TASK.CLAIM m")
		t(fmt.Sprintf("TASK.COMPLETE m m%d %d ATTEMPT 1", n, n*n))
	}
	cursor, unsealed, ends := page(r.Do("TASK.COLLECT", "m", "maps", 0, "COUNT", 2))
	sealed := t("TASK.SEAL m maps")
	_, remaining, rest := page(r.Do("TASK.COLLECT", "m", "maps", cursor, "BLOCK", 1000))
	ok("collect",
		fmt.Sprint(unsealed), "-1",
		sealed, "3",
		fmt.Sprint(remaining), "0",
		strings.Join(append(ends, rest...), " "), "['m0' 'completed' '0'] ['m1' 'completed' '1'] ['m2' 'completed' '4']")
	var every []byte
	for n := 0; n < 256; n++ {
		every = append(every, byte(n))
	}
	every = append(every, 13, 10)
	for id, data := range map[string][]byte{"x": every, "y": {}, "z": bytes.Repeat(every, 4096)} {
		_, err := r.Do("TASK.PUSH", "bin", data, "ID", id)
		must("binary", err)
		claimed, err := redis.Values(r.Do("TASK.CLAIM", "bin"))
		must("binary", err)
		_, err = r.Do("TASK.COMPLETE", "bin", id, data, "ATTEMPT", 1)
		must("binary", err)
		result, err := redis.Values(r.Do("TASK.RESULT", "bin", id))
		must("binary", err)
		if !bytes.Equal(claimed[1].([]byte), data) || !bytes.Equal(result[1].([]byte), data) {
			must("binary", fmt.Errorf("%s came otherwise", id))
		}
	}
	ok("binary")
	info, err := redis.Values(r.Do("TASK.INFO", "m"))
	must("info", err)
	completed := ""
	for n := 0; n < len(info); n += 2 { // a map, flat in RESP2
		if show(info[n]) == "'completed'" {
			completed = show(info[n+1])
		}
	}
	ok("info", completed, "3")
	t("TASK.PUSH s x ID s")
	other := connect()
	ask(other, "TASK.CLAIM s SESSION")
	other.Close()
	ok("session", t("TASK.CLAIM s BLOCK 5000"), "['s' 'x' 2 30000 nil]")
	own := t("CLIENT ID")
	t("TASK.COMPLETE s s done ATTEMPT 2")
	ask(connect(), "CLIENT KILL ID "+own)
	lost := t("TASK.COMPLETE s s done ATTEMPT 2")
	if !strings.HasPrefix(lost, "lost: ") || r.Err() == nil {
		must("reconnect", fmt.Errorf("the connection was not cut: %s", lost))
	}
	r = connect() // it does not connect again by itself
	ok("reconnect", t("TASK.COMPLETE s s done ATTEMPT 2"), "OK", fmt.Sprint(t("CLIENT ID") != own), "true")
	for n := 0; n < 100; n++ {
		must("pipeline", r.Send("TASK.PUSH", "p", n, "ID", fmt.Sprint("p", n)))
	}
	must("pipeline", r.Flush())
	for n := 0; n < 100; n++ {
		id, err := redis.String(r.Receive())
		must("pipeline", err)
		if id != fmt.Sprint("p", n) {
			must("pipeline", fmt.Errorf("%s came as number %d", id, n))
		}
	}
	claimed, err := redis.Values(r.Do("TASK.CLAIM", "p", "COUNT", 1000))
	must("pipeline", err)
	ok("pipeline", fmt.Sprint(len(claimed)), "100")
	fmt.Println("skip resp3: redigo speaks RESP2")
	if len(os.Args) < 3 {
		fmt.Println("skip cluster: no cluster was started")
		return
	}
	cluster := redisc.Cluster{StartupNodes: []string{"127.0.0.1:" + os.Args[2]}}
	must("cluster", cluster.Refresh())
	for n := 0; n < 8; n++ {
		queue := fmt.Sprint("queue:", n)
		c := cluster.Get()
		must("cluster", redisc.BindConn(c, queue)) // a connection is for one node: the queue's
		got := []string{
			ask(c, "TASK.PUSH "+queue+" x ID i"),
			ask(c, "TASK.MCLAIM 1 "+queue+" BLOCK 100"),
			ask(c, "TASK.COMPLETE "+queue+" i y ATTEMPT 1"),
			ask(c, "TASK.RESULT "+queue+" i"),
		}
		c.Close()
		expected := "'i' ['" + queue + "' ['i' 'x' 1 30000 nil]] OK ['completed' 'y']"
		if strings.Join(got, " ") != expected {
			must("cluster", fmt.Errorf("%v, not %s", got, expected))
		}
	}
	ok("cluster")
}
