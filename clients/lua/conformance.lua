-- conformance.lua PORT [CLUSTER-PORT]: the checks of clients/README.md with redis-lua.

local redis = require "redis"
local socket = require "socket"

local port = tonumber(arg[1])

for _, name in ipairs { "push", "claim", "complete", "fail", "release", "extend", "result", "retry", "cancel", "gather", "collect", "seal", "mcomplete", "info" } do
  redis.define_command("task." .. name)
end
redis.define_command("client")

local function connect() return redis.connect { host = "127.0.0.1", port = port, timeout = 10 } end

local r = connect()

-- Sends the words; the reply, or nothing and what went wrong.
local function said(client, command, ...)
  local fine, reply = pcall(client[command:lower()], client, ...)
  if fine then return reply end
  return nil, reply
end

-- As text: a string or number, nil, OK, [an array], !CODE of an error. Nil is no element of a table: at the end of an array it is not seen.
local function show(reply)
  if reply == true then return "OK" end
  if type(reply) ~= "table" then return tostring(reply) end
  local last, items = 0, {}
  for n in pairs(reply) do last = math.max(last, n) end
  for n = 1, last do items[n] = show(reply[n]) end
  return "[" .. table.concat(items, " ") .. "]"
end

local function t(...)
  local reply, wrong = said(r, ...)
  if wrong then return "!" .. (wrong:match("redis error: (%u+) ") or wrong) end
  return show(reply)
end

-- t of the words in a line.
local function line(words)
  local list = {}
  for word in words:gmatch("%S+") do list[#list + 1] = word end
  return t(unpack(list))
end

local function fail(check, why)
  io.stderr:write("FAILED ", check, ": ", why, "\n")
  os.exit(1)
end

local function ok(check, ...)
  local pairs = { ... }
  for n = 1, #pairs, 2 do
    if pairs[n] ~= pairs[n + 1] then fail(check, pairs[n] .. ", not " .. pairs[n + 1]) end
  end
  print("ok " .. check)
end

io.stdout:setvbuf("line")
r:flushall()

-- push: options, an ID said twice, nil for NX
ok("push",
  line "TASK.PUSH q low ID a", "a",
  line "TASK.PUSH q high ID b PRIORITY 5 ATTEMPTS 2 BACKOFF 50 LEASE 7000", "b",
  line "TASK.PUSH q low ID a", "a",
  line "TASK.PUSH q low ID a NX", "nil")
-- claim: strings, integers and nil; nil for an empty queue
local attempt = r["task.claim"](r, "q", "WORKER", "w")
ok("claim",
  show(attempt), "[b high 1 7000]",
  type(attempt[2]) .. type(attempt[3]) .. type(attempt[5]), "stringnumbernil",
  line "TASK.CLAIM q COUNT 9", "[[a low 1 30000]]",
  line "TASK.CLAIM q", "nil")
-- block: nil at the timeout; a task as soon as it is due
local began = socket.gettime()
local nothing = line "TASK.CLAIM q BLOCK 200"
local waited = socket.gettime() - began
line "TASK.PUSH q later ID c DELAY 200"
ok("block", nothing, "nil", tostring(waited > 0.15 and waited < 5), "true", line "TASK.CLAIM q BLOCK 5000", "[c later 1 30000]")
-- next: completes and claims in one command; again answers the same
line "TASK.PUSH q n ID d"
ok("next",
  line "TASK.COMPLETE q c done ATTEMPT 1 NEXT BLOCK 1000", "[d n 1 30000]",
  line "TASK.COMPLETE q c again ATTEMPT 1", "OK",
  line "TASK.COMPLETE q d done ATTEMPT 1 NEXT BLOCK 100", "nil",
  line "TASK.RESULT q c BLOCK 1000", "[completed done]")
-- fail: again after the backoff, then failed
ok("fail",
  line "TASK.FAIL q b oops ATTEMPT 1", "scheduled",
  line "TASK.CLAIM q BLOCK 5000", "[b high 2 7000]",
  t("TASK.FAIL", "q", "b", "oh no", "ATTEMPT", 2), "failed",
  line "TASK.RESULT q b", "[failed oh no]",
  line "TASK.RETRY q b", "1")
-- release: back at no cost
ok("release",
  line "TASK.CLAIM q", "[b high 3 7000]",
  line "TASK.RELEASE q b ATTEMPT 3", "OK",
  line "TASK.CLAIM q", "[b high 4 7000]")
-- extend: a heartbeat, and a checkpoint for the next attempt
ok("extend",
  line "TASK.EXTEND q b ATTEMPT 4 CHECKPOINT half", "OK",
  line "TASK.RELEASE q b ATTEMPT 4", "OK",
  line "TASK.CLAIM q", "[b high 5 7000 half]")
-- errors: their first word
line "SET text x"
ok("errors",
  line "TASK.COMPLETE q b x ATTEMPT 4", "!STALE",
  line "TASK.COMPLETE q nobody x", "!NOTASK",
  line "TASK.EXTEND q c ATTEMPT 1", "!NOTCLAIMED",
  line "TASK.PUSH text x", "!WRONGTYPE",
  line "TASK.PUSH q x COLOR red", "!ERR",
  line "TASK.CANCEL q b", "1",
  line "TASK.COMPLETE q b x ATTEMPT 5", "!CANCELED")
-- array-errors: raised in the middle of the reply, though the rest of the command was done
said(connect(), "TASK.MCOMPLETE", "q", 2, "a", 1, "done", "b", 5, "done")
print("skip array-errors: redis-lua raises such an error in the middle of the reply")
-- gather: ends in the order asked, nil for one that is not there
ok("gather", line "TASK.GATHER q 3 c b x BLOCK 100", "[[c completed done] [b canceled] [x]]")
-- collect: page by page, with a cursor, until nothing remains
for n = 0, 2 do
  t("TASK.PUSH", "m", n, "ID", "m" .. n, "BATCH", "maps")
  line "TASK.CLAIM m"
  t("TASK.COMPLETE", "m", "m" .. n, n * n, "ATTEMPT", 1)
end
local first = said(r, "TASK.COLLECT", "m", "maps", 0, "COUNT", 2)
local sealed = line "TASK.SEAL m maps"
local second = said(r, "TASK.COLLECT", "m", "maps", first[1], "BLOCK", 1000)
ok("collect",
  show(first[2]), "-1",
  sealed, "3",
  show(second[2]), "0",
  show(first[3]) .. show(second[3]), "[[m0 completed 0] [m1 completed 1]][[m2 completed 4]]")
-- binary: every byte, nothing, and a megabyte
local bytes = {}
for n = 0, 255 do bytes[n + 1] = string.char(n) end
local every = table.concat(bytes) .. "\r\n"
for id, data in pairs { x = every, y = "", z = every:rep(4096) } do
  said(r, "TASK.PUSH", "bin", data, "ID", id)
  local claimed = said(r, "TASK.CLAIM", "bin")
  said(r, "TASK.COMPLETE", "bin", id, data, "ATTEMPT", 1)
  if claimed[2] ~= data or said(r, "TASK.RESULT", "bin", id)[2] ~= data then fail("binary", id) end
end
ok "binary"
-- info: a map, flat in RESP2
local flat, info = said(r, "TASK.INFO", "m"), {}
for n = 1, 200, 2 do
  if flat[n] then info[flat[n]] = flat[n + 1] end
end
ok("info", show(info.completed), "3")
-- session: a claim that ends with its connection
line "TASK.PUSH s x ID s"
local other = connect()
said(other, "TASK.CLAIM", "s", "SESSION")
other.network.socket:close()
ok("session", line "TASK.CLAIM s BLOCK 5000", "[s x 2 30000]")
-- reconnect: the connection is cut, the COMPLETE is said again
local own = line "CLIENT ID"
line "TASK.COMPLETE s s done ATTEMPT 2"
said(connect(), "CLIENT", "KILL", "ID", own)
local _, wrong = said(r, "TASK.COMPLETE", "s", "s", "done", "ATTEMPT", 2)
if not wrong or wrong:match("redis error: ") then fail("reconnect", "the connection was not cut") end
r = connect() -- it does not connect again by itself
ok("reconnect", line "TASK.COMPLETE s s done ATTEMPT 2", "OK", tostring(line "CLIENT ID" ~= own), "true")
-- pipeline: many pushes in one round trip
local pushed = r:pipeline(function(pipe)
  for n = 1, 100 do pipe["task.push"](pipe, "p", n, "ID", "p" .. n) end
end)
ok("pipeline", pushed[1] .. #pushed .. pushed[100], "p1100p100", tostring(#said(r, "TASK.CLAIM", "p", "COUNT", 1000)), "100")
print("skip resp3: redis-lua speaks RESP2")
print("skip cluster: redis-lua knows no clusters")
