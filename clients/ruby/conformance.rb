# conformance.rb PORT [CLUSTER-PORT]: the checks of clients/README.md with redis-rb.

require "redis"

PORT, CLUSTER = ARGV.map(&:to_i)

def connect = Redis.new(host: "127.0.0.1", port: PORT, read_timeout: 10, reconnect_attempts: 0)
R = connect
def t(*command) = R.call(*command)

def ok(check, *pairs)
  pairs.each { |got, expected| abort "FAILED #{check}: #{got.inspect}, not #{expected.inspect}" if got != expected }
  puts "ok #{check}"
end

# The first word of the error that a command is refused with.
def code(*command)
  t(*command)
rescue Redis::CommandError => error
  error.message.split.first
end

$stdout.sync = true
R.flushall

# push: options, an ID said twice, nil for NX
ok "push",
   [t("TASK.PUSH", "q", "low", "ID", "a"), "a"],
   [t("TASK.PUSH", "q", "high", "ID", "b", "PRIORITY", 5, "ATTEMPTS", 2, "BACKOFF", 50, "LEASE", 7000), "b"],
   [t("TASK.PUSH", "q", "low", "ID", "a"), "a"],
   [t("TASK.PUSH", "q", "low", "ID", "a", "NX"), nil]
# claim: strings, integers and nil; nil for an empty queue
ok "claim",
   [t("TASK.CLAIM", "q", "WORKER", "w"), ["b", "high", 1, 7000, nil]],
   [t("TASK.CLAIM", "q", "COUNT", 9), [["a", "low", 1, 30000, nil]]],
   [t("TASK.CLAIM", "q"), nil]
# block: nil at the timeout; a task as soon as it is due
began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
nothing = t("TASK.CLAIM", "q", "BLOCK", 200)
waited = Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
t("TASK.PUSH", "q", "later", "ID", "c", "DELAY", 200)
ok "block", [nothing, nil], [waited.between?(0.15, 5), true], [t("TASK.CLAIM", "q", "BLOCK", 5000)[0], "c"]
# next: completes and claims in one command; again answers the same
t("TASK.PUSH", "q", "n", "ID", "d")
ok "next",
   [t("TASK.COMPLETE", "q", "c", "done", "ATTEMPT", 1, "NEXT", "BLOCK", 1000), ["d", "n", 1, 30000, nil]],
   [t("TASK.COMPLETE", "q", "c", "again", "ATTEMPT", 1), "OK"],
   [t("TASK.COMPLETE", "q", "d", "done", "ATTEMPT", 1, "NEXT", "BLOCK", 100), nil],
   [t("TASK.RESULT", "q", "c", "BLOCK", 1000), ["completed", "done"]]
# fail: again after the backoff, then failed
ok "fail",
   [t("TASK.FAIL", "q", "b", "oops", "ATTEMPT", 1), "scheduled"],
   [t("TASK.CLAIM", "q", "BLOCK", 5000).first(3), ["b", "high", 2]],
   [t("TASK.FAIL", "q", "b", "oh no", "ATTEMPT", 2), "failed"],
   [t("TASK.RESULT", "q", "b"), ["failed", "oh no"]],
   [t("TASK.RETRY", "q", "b"), 1]
# release: back at no cost
ok "release",
   [t("TASK.CLAIM", "q")[2], 3],
   [t("TASK.RELEASE", "q", "b", "ATTEMPT", 3), "OK"],
   [t("TASK.CLAIM", "q").first(3), ["b", "high", 4]]
# extend: a heartbeat, and a checkpoint for the next attempt
ok "extend",
   [t("TASK.EXTEND", "q", "b", "ATTEMPT", 4, "CHECKPOINT", "half"), "OK"],
   [t("TASK.RELEASE", "q", "b", "ATTEMPT", 4), "OK"],
   [t("TASK.CLAIM", "q"), ["b", "high", 5, 7000, "half"]]
# errors: their first word
t("SET", "text", "x")
ok "errors",
   [code("TASK.COMPLETE", "q", "b", "x", "ATTEMPT", 4), "STALE"],
   [code("TASK.COMPLETE", "q", "nobody", "x"), "NOTASK"],
   [code("TASK.EXTEND", "q", "c", "ATTEMPT", 1), "NOTCLAIMED"],
   [code("TASK.PUSH", "text", "x"), "WRONGTYPE"],
   [code("TASK.PUSH", "q", "x", "COLOR", "red"), "ERR"],
   [t("TASK.CANCEL", "q", "b"), 1],
   [code("TASK.COMPLETE", "q", "b", "x", "ATTEMPT", 5), "CANCELED"]
# array-errors: one error in an array, the rest is there
both = t("TASK.MCOMPLETE", "q", 2, "a", 1, "done", "b", 5, "done")
ok "array-errors", [both[0], "OK"], [both[1].class, Redis::CommandError], [both[1].message.split.first, "CANCELED"]
# gather: ends in the order asked, nil for one that is not there
ok "gather", [t("TASK.GATHER", "q", 3, "c", "b", "x", "BLOCK", 100), [["c", "completed", "done"], ["b", "canceled", nil], ["x", nil, nil]]]
# collect: page by page, with a cursor, until nothing remains
3.times do |n|
  t("TASK.PUSH", "m", n, "ID", "m#{n}", "BATCH", "maps")
  t("TASK.COMPLETE", "m", t("TASK.CLAIM", "m")[0], n * n, "ATTEMPT", 1)
end
cursor, unsealed, first = t("TASK.COLLECT", "m", "maps", 0, "COUNT", 2)
sealed = t("TASK.SEAL", "m", "maps")
_, remaining, second = t("TASK.COLLECT", "m", "maps", cursor, "BLOCK", 1000)
ends = [["m0", "completed", "0"], ["m1", "completed", "1"], ["m2", "completed", "4"]]
ok "collect", [unsealed, -1], [sealed, 3], [remaining, 0], [first + second, ends]
# binary: every byte, nothing, and a megabyte
every = [*0..255, 13, 10].pack("C*")
{ "x" => every, "y" => "".b, "z" => every * 4096 }.each do |id, data|
  t("TASK.PUSH", "bin", data, "ID", id)
  claimed = t("TASK.CLAIM", "bin")
  t("TASK.COMPLETE", "bin", id, data, "ATTEMPT", 1)
  abort "FAILED binary" unless claimed[1].b == data && t("TASK.RESULT", "bin", id)[1].b == data
end
ok "binary"
# info: a map, flat in RESP2
ok "info", [t("TASK.INFO", "m").each_slice(2).to_h["completed"], 3]
# session: a claim that ends with its connection
t("TASK.PUSH", "s", "x", "ID", "s")
other = connect
other.call("TASK.CLAIM", "s", "SESSION")
other.close
ok "session", [t("TASK.CLAIM", "s", "BLOCK", 5000).first(3), ["s", "x", 2]]
# reconnect: the connection is cut, the COMPLETE is said again
own = t("CLIENT", "ID")
t("TASK.COMPLETE", "s", "s", "done", "ATTEMPT", 2)
connect.call("CLIENT", "KILL", "ID", own)
begin
  t("TASK.COMPLETE", "s", "s", "done", "ATTEMPT", 2)
  abort "FAILED reconnect: the connection was not cut"
rescue Redis::BaseConnectionError
  ok "reconnect", [t("TASK.COMPLETE", "s", "s", "done", "ATTEMPT", 2), "OK"], [t("CLIENT", "ID") != own, true]
end
# pipeline: many pushes in one round trip
pushed = R.pipelined { |pipe| 100.times { |n| pipe.call("TASK.PUSH", "p", n, "ID", "p#{n}") } }
ok "pipeline", [pushed, Array.new(100) { |n| "p#{n}" }], [t("TASK.CLAIM", "p", "COUNT", 1000).size, 100]
puts "skip resp3: redis-rb #{Redis::VERSION} speaks RESP2"
# cluster: queues on all nodes, the keys of MCLAIM behind a number
if CLUSTER.nil?
  puts "skip cluster: no cluster was started"
else
  cluster = Redis.new(cluster: ["redis://127.0.0.1:#{CLUSTER}"])
  8.times do |n|
    queue = "queue:#{n}"
    got = [
      cluster.call("TASK.PUSH", queue, "x", "ID", "i"),
      cluster.call("TASK.MCLAIM", 1, queue, "BLOCK", 100),
      cluster.call("TASK.COMPLETE", queue, "i", "y", "ATTEMPT", 1),
      cluster.call("TASK.RESULT", queue, "i")
    ]
    expected = ["i", [queue, ["i", "x", 1, 30000, nil]], "OK", ["completed", "y"]]
    abort "FAILED cluster: #{got}" if got != expected
  end
  ok "cluster"
end
