-- worker.lua [PORT]: works on the queue `sums` until SIGTERM.

local redis = require "redis"
local signal = require "posix.signal"
local socket = require "socket"

local QUEUE = "sums"
-- The task is not ours any more: nothing is wrong.
local REFUSED = { NOTASK = true, STALE = true, CANCELED = true, NOTCLAIMED = true }
-- A failover, or a server that takes no writes now.
local AGAIN = { UNBLOCKED = true, TRYAGAIN = true, NOREPLICAS = true, MISCONF = true, CLUSTERDOWN = true, READONLY = true, LOADING = true, MASTERDOWN = true, BUSY = true }

for _, name in ipairs { "task.claim", "task.extend", "task.complete", "task.fail", "task.release" } do
  redis.define_command(name)
end

local port = tonumber(arg[1]) or 6379
local STOPPED, LOST = {}, {} -- raised by the work: give the task back; it is not ours any more
local client, stopping

-- Says a command until it is answered. nil: nothing to do, or the task is not ours any more.
local function ask(command, ...)
  local words = { ... }
  while true do
    local fine, reply = pcall(function()
      if not client then
        client = redis.connect { host = "127.0.0.1", port = port, timeout = 10 } -- longer than BLOCK
      end
      return client[command](client, unpack(words))
    end)
    if fine then return reply end
    local code = reply:match("redis error: (%u+) ") -- everything else is the connection
    if code and REFUSED[code] then return nil end
    if code and not AGAIN[code] then error(reply) end -- a mistake of ours
    io.stderr:write(command, " ", reply, "\n")
    if client then client.network.socket:close() end
    client = nil -- the address may lead to a new master by now
    if stopping and command == "task.claim" then return nil end
    socket.sleep(1)
  end
end

-- The work: here a sum of squares, made slow. It calls `alive` often.
local function work(payload, alive)
  local total = 0
  for n = 1, tonumber(payload) or error("no number: " .. payload) do
    alive()
    socket.sleep(0.05)
    total = total + n * n
  end
  return ("%d"):format(total)
end

-- What to answer for a task.
local function answer(id, payload, attempt, lease_ms)
  local beaten = socket.gettime()
  local fine, result = pcall(work, payload, function()
    if stopping then error(STOPPED) end
    if socket.gettime() - beaten > lease_ms / 3000 then
      beaten = socket.gettime() -- the heartbeat
      if not ask("task.extend", QUEUE, id, "ATTEMPT", attempt) then error(LOST) end
    end
  end)
  if fine then return "task.complete", result end
  if result == STOPPED then return "task.release" end
  if result ~= LOST then return "task.fail", result end -- tried again after its backoff
end

local function stop() stopping = true end
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
while not stopping do
  local task = ask("task.claim", QUEUE, "WORKER", "lua", "BLOCK", 1000)
  if task then
    local id, payload, attempt, lease_ms = task[1], task[2], task[3], task[4]
    local command, data = answer(id, payload, attempt, lease_ms)
    -- Said again after a lost connection: safe.
    if data then
      ask(command, QUEUE, id, data, "ATTEMPT", attempt)
    elseif command then
      ask(command, QUEUE, id, "ATTEMPT", attempt)
    end
  end
end
