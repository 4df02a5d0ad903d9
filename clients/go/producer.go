// producer [PORT [RUN [NUMBER ...]]]: pushes tasks to the queue `sums`, and prints their results as they come.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"regexp"
	"time"

	"github.com/gomodule/redigo/redis"
)

const queue = "sums"

// A failover, or a server that takes no writes now.
var again = regexp.MustCompile("^(UNBLOCKED|TRYAGAIN|NOREPLICAS|MISCONF|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|BUSY)")

var address = "127.0.0.1:6379"
var connection redis.Conn

// ask says a command until it is answered. Each of ours may be said twice: the pushes have IDs, COLLECT only reads.
func ask(command string, arguments ...interface{}) interface{} {
	for {
		reply, err := say(command, arguments)
		if err == nil {
			return reply
		}
		var refusal redis.Error
		if errors.As(err, &refusal) && !again.MatchString(err.Error()) {
			log.Fatal(command, " ", err)
		}
		log.Print(command, " ", err)
		time.Sleep(time.Second)
		if connection != nil {
			connection.Close() // the address may lead to a new master by now
			connection = nil
		}
	}
}

func say(command string, arguments []interface{}) (interface{}, error) {
	if connection == nil {
		var err error
		connection, err = redis.Dial("tcp", address,
			redis.DialConnectTimeout(5*time.Second), redis.DialReadTimeout(10*time.Second)) // longer than BLOCK
		if err != nil {
			connection = nil
			return nil, err
		}
	}
	return connection.Do(command, arguments...)
}

func main() {
	run, numbers := fmt.Sprint(time.Now().UnixNano(), "-", os.Getpid()), []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}
	if len(os.Args) > 1 {
		address = "127.0.0.1:" + os.Args[1]
	}
	if len(os.Args) > 2 {
		run = os.Args[2]
	}
	if len(os.Args) > 3 {
		numbers = os.Args[3:]
	}
	for _, number := range numbers {
		ask("TASK.PUSH", queue, number, "ID", run+":"+number, "BATCH", run, "ATTEMPTS", 3, "BACKOFF", 200)
	}
	ask("TASK.SEAL", queue, run)

	cursor, remaining, completed := "0", -1, 0
	for remaining != 0 {
		page, err := redis.Values(ask("TASK.COLLECT", queue, run, cursor, "BLOCK", 1000), nil)
		if err != nil {
			log.Fatal(err)
		}
		var ends []interface{}
		if _, err := redis.Scan(page, &cursor, &remaining, &ends); err != nil {
			log.Fatal(err)
		}
		for _, end := range ends {
			var id, state, data string
			if _, err := redis.Scan(end.([]interface{}), &id, &state, &data); err != nil { // nil becomes ""
				log.Fatal(err)
			}
			fmt.Println(id, state, data)
			if state == "completed" {
				completed++
			}
		}
	}
	if completed != len(numbers) {
		os.Exit(1)
	}
}
