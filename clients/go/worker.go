// worker [PORT]: works on the queue `sums` until SIGTERM.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/gomodule/redigo/redis"
)

const queue = "sums"

// The task is not ours any more: nothing is wrong.
var refused = regexp.MustCompile("^(NOTASK|STALE|CANCELED|NOTCLAIMED)")

// A failover, or a server that takes no writes now.
var again = regexp.MustCompile("^(UNBLOCKED|TRYAGAIN|NOREPLICAS|MISCONF|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|BUSY)")

var errLost = errors.New("the task was canceled, or another worker has it")

type task struct {
	id, payload string
	attempt     int
	lease       time.Duration
}

type worker struct {
	address    string
	connection redis.Conn
}

// ask says a command until it is answered. errLost: the task is not ours any more. A claim is given up when we are to stop.
func (w *worker) ask(stop context.Context, command string, arguments ...interface{}) (interface{}, error) {
	for {
		reply, err := w.say(command, arguments)
		if err == nil {
			return reply, nil
		}
		var refusal redis.Error
		if errors.As(err, &refusal) {
			if refused.MatchString(err.Error()) {
				return nil, errLost
			}
			if !again.MatchString(err.Error()) {
				log.Fatal(command, " ", err) // a mistake of ours
			}
		}
		log.Print(command, " ", err)
		if w.connection != nil {
			w.connection.Close() // the address may lead to a new master by now
			w.connection = nil
		}
		if command == "TASK.CLAIM" && stop.Err() != nil {
			return nil, nil
		}
		time.Sleep(time.Second)
	}
}

func (w *worker) say(command string, arguments []interface{}) (interface{}, error) {
	if w.connection == nil {
		connection, err := redis.Dial("tcp", w.address,
			redis.DialConnectTimeout(5*time.Second), redis.DialReadTimeout(10*time.Second)) // longer than BLOCK
		if err != nil {
			return nil, err
		}
		w.connection = connection
	}
	return w.connection.Do(command, arguments...)
}

// work is the work: here a sum of squares, made slow, with a heartbeat each third of the lease.
func (w *worker) work(stop context.Context, t task) (string, error) {
	number, err := strconv.Atoi(t.payload)
	if err != nil {
		return "", err
	}
	sum, beaten := 0, time.Now()
	for n := 1; n <= number; n++ {
		if stop.Err() != nil {
			return "", stop.Err()
		}
		if time.Since(beaten) > t.lease/3 {
			beaten = time.Now()
			if _, err := w.ask(stop, "TASK.EXTEND", queue, t.id, "ATTEMPT", t.attempt); err != nil {
				return "", err
			}
		}
		time.Sleep(50 * time.Millisecond)
		sum += n * n
	}
	return strconv.Itoa(sum), nil
}

func (w *worker) claim(stop context.Context) (*task, error) {
	reply, err := redis.Values(w.ask(stop, "TASK.CLAIM", queue, "WORKER", "go", "BLOCK", 1000))
	if errors.Is(err, redis.ErrNil) {
		return nil, nil // nothing to do
	}
	if err != nil {
		return nil, err
	}
	var t task
	var lease int64
	if _, err := redis.Scan(reply, &t.id, &t.payload, &t.attempt, &lease); err != nil {
		return nil, err
	}
	t.lease = time.Duration(lease) * time.Millisecond
	return &t, nil
}

func main() {
	w := worker{address: "127.0.0.1:6379"}
	if len(os.Args) > 1 {
		w.address = "127.0.0.1:" + os.Args[1]
	}
	stop, end := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer end()
	for stop.Err() == nil {
		t, err := w.claim(stop)
		if err != nil {
			log.Fatal(err)
		}
		if t == nil {
			continue
		}
		result, err := w.work(stop, *t)
		answer := []interface{}{queue, t.id}
		command := "TASK.COMPLETE"
		switch {
		case err == nil:
			answer = append(answer, result)
		case errors.Is(err, errLost):
			continue
		case errors.Is(err, context.Canceled): // we are to end, and give the task back
			command = "TASK.RELEASE"
		default:
			command, answer = "TASK.FAIL", append(answer, err.Error()) // tried again after its backoff
		}
		w.ask(stop, command, append(answer, "ATTEMPT", t.attempt)...) // said again after a lost connection: safe
	}
}
