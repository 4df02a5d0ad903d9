-- producer.lua [PORT [RUN [NUMBER ...]]]: pushes tasks to the queue `sums`, and prints their results as they come.

local redis = require "redis"
local socket = require "socket"

local QUEUE = "sums"
-- A failover, or a server that takes no writes now.
local AGAIN = { UNBLOCKED = true, TRYAGAIN = true, NOREPLICAS = true, MISCONF = true, CLUSTERDOWN = true, READONLY = true, LOADING = true, MASTERDOWN = true, BUSY = true }

for _, name in ipairs { "task.push", "task.seal", "task.collect" } do
  redis.define_command(name)
end

local port = tonumber(arg[1]) or 6379
local run = arg[2] or ("%.6f-%s"):format(socket.gettime(), tostring(arg):match("0x(%x+)"))
local numbers = { select(3, unpack(arg)) }
if #numbers == 0 then numbers = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } end
io.stdout:setvbuf("line")

local client

-- Says a command until it is answered. Each of ours may be said twice: the pushes have IDs, COLLECT only reads.
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
    if code and not AGAIN[code] then error(reply) end
    io.stderr:write(command, " ", reply, "\n")
    if client then client.network.socket:close() end
    client = nil -- the address may lead to a new master by now
    socket.sleep(1)
  end
end

for _, number in ipairs(numbers) do
  ask("task.push", QUEUE, number, "ID", run .. ":" .. number, "BATCH", run, "ATTEMPTS", 3, "BACKOFF", 200)
end
ask("task.seal", QUEUE, run)

local cursor, remaining, completed = "0", -1, 0
while remaining ~= 0 do
  local page = ask("task.collect", QUEUE, run, cursor, "BLOCK", 1000)
  cursor, remaining = page[1], page[2]
  for _, ended in ipairs(page[3]) do
    print(ended[1] .. " " .. ended[2] .. " " .. (ended[3] or "")) -- id, state, data or nil
    if ended[2] == "completed" then completed = completed + 1 end
  end
end
os.exit(completed == #numbers and 0 or 1)
