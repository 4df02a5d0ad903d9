# producer.rb [PORT [RUN [NUMBER ...]]]: pushes tasks to the queue `sums`, and prints their results as they come.

require "redis"
require "securerandom"

QUEUE = "sums"
# A failover, or a server that takes no writes now.
AGAIN = /\A(UNBLOCKED|TRYAGAIN|NOREPLICAS|MISCONF|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|BUSY)/

port, run, *numbers = ARGV
run ||= SecureRandom.uuid
numbers = (1..10).to_a if numbers.empty?
REDIS = Redis.new(port: (port || 6379).to_i, read_timeout: 10) # longer than BLOCK
$stdout.sync = true

# Says a command until it is answered. Each of ours may be said twice: the pushes have IDs, COLLECT only reads.
def ask(*command)
  REDIS.call(*command)
rescue Redis::BaseConnectionError, Redis::CommandError => error
  raise if error.is_a?(Redis::CommandError) && error.message !~ AGAIN

  warn "#{command[0]} #{error.message}"
  sleep 1
  REDIS.close # the address may lead to a new master by now
  retry
end

numbers.each { |n| ask("TASK.PUSH", QUEUE, n, "ID", "#{run}:#{n}", "BATCH", run, "ATTEMPTS", 3, "BACKOFF", 200) }
ask("TASK.SEAL", QUEUE, run)

cursor = "0"
remaining = -1
completed = 0
until remaining.zero?
  cursor, remaining, ends = ask("TASK.COLLECT", QUEUE, run, cursor, "BLOCK", 1000)
  ends.each do |id, state, data|
    puts "#{id} #{state} #{data}"
    completed += 1 if state == "completed"
  end
end
exit completed == numbers.size
