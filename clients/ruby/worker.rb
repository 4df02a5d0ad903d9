# worker.rb [PORT]: works on the queue `sums` until SIGTERM.

require "redis"

QUEUE = "sums"
REFUSED = /\A(NOTASK|STALE|CANCELED|NOTCLAIMED)/ # the task is not ours any more: nothing is wrong
# A failover, or a server that takes no writes now.
AGAIN = /\A(UNBLOCKED|TRYAGAIN|NOREPLICAS|MISCONF|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|BUSY)/

# A CLAIM whose reply was lost is better not said again in silence, so retries are ours. The read timeout is longer than BLOCK.
REDIS = Redis.new(port: (ARGV[0] || 6379).to_i, read_timeout: 10, reconnect_attempts: 0)

Stopping = Class.new(StandardError) # we are to end, and give the task back
Lost = Class.new(StandardError) # the task was canceled, or another worker has it

# Says a command until it is answered. nil: nothing to do, or the task is not ours any more.
def ask(*command)
  REDIS.call(*command)
rescue Redis::BaseConnectionError, Redis::CommandError => error
  return if error.is_a?(Redis::CommandError) && error.message.match?(REFUSED)
  raise if error.is_a?(Redis::CommandError) && !error.message.match?(AGAIN) # a mistake of ours

  warn "#{command[0]} #{error.message}"
  return if $stopping && command[0] == "TASK.CLAIM"

  sleep 1
  REDIS.close # the address may lead to a new master by now
  retry
end

# The work: here a sum of squares, made slow. It yields often.
def work(payload)
  (1..Integer(payload)).sum do |n|
    yield
    sleep 0.05
    n * n
  end
end

def now_ms = Process.clock_gettime(Process::CLOCK_MONOTONIC, :millisecond)

# What to answer for a task.
def answer(id, payload, attempt, lease_ms)
  beaten = now_ms
  result = work(payload) do
    raise Stopping if $stopping

    if now_ms - beaten > lease_ms / 3 # the heartbeat
      beaten = now_ms
      ask("TASK.EXTEND", QUEUE, id, "ATTEMPT", attempt) or raise Lost
    end
  end
  ["TASK.COMPLETE", QUEUE, id, result]
rescue Stopping
  ["TASK.RELEASE", QUEUE, id]
rescue Lost
  nil
rescue StandardError => error
  ["TASK.FAIL", QUEUE, id, error.inspect] # tried again after its backoff
end

%w[TERM INT].each { |signal| trap(signal) { $stopping = true } }
until $stopping
  id, payload, attempt, lease_ms = ask("TASK.CLAIM", QUEUE, "WORKER", "ruby", "BLOCK", 1000)
  next unless id

  said = answer(id, payload, attempt, lease_ms)
  ask(*said, "ATTEMPT", attempt) if said # said again after a lost connection: safe
end
