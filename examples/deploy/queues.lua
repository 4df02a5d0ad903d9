-- For redis_exporter: `redis_exporter -script queues.lua` has each value as redis_script_values{key="tasks mail ready"}; with prometheus.yml they are
-- named as those of ../python/metrics.py. In a cluster each node has its own queues: one exporter for each.
--
-- While a script runs the server does nothing else. So it looks at no more keys and queues than these: some 30 ms. If there are more, scan_complete
-- is 0: raise them, or take metrics.py, which holds up nobody.
local keys_max, queues_max = 20000, 200

local values = {}
local function add(value, ...)
  values[#values + 1] = table.concat({...}, ' ')
  values[#values + 1] = string.format('%.14g', value)
end
local cursor, seen, queues, keys, complete, refused = '0', {}, 0, 0, 1, nil
repeat
  local page = redis.call('SCAN', cursor, 'TYPE', 'taskqueue', 'COUNT', 1000)
  cursor, keys = page[1], keys + 1000
  for _, queue in ipairs(page[2]) do
    if queues == queues_max and not seen[queue] then
      complete = 0
      break
    end
    local answer = not seen[queue] and redis.pcall('TASK.INFO', queue, 'JSON')
    if type(answer) == 'table' then
      refused = answer -- this user may not read it
    elseif answer then
      seen[queue], queues = true, queues + 1
      local info = cjson.decode(answer)
      for _, state in ipairs({'waiting', 'scheduled', 'ready', 'claimed', 'completed', 'failed', 'canceled', 'expired'}) do
        add(info[state], 'tasks', queue, state)
      end
      for event, count in pairs(info.totals) do
        add(count, 'events_total', queue, event)
      end
      local age = info['oldest-ready-ms']
      add(age == cjson.null and 0 or age / 1000, 'oldest_ready_seconds', queue)
      for field, name in pairs({['wait-ms'] = 'wait_seconds', ['run-ms'] = 'run_seconds'}) do
        if info[field] ~= cjson.null then
          for percentile, ms in pairs(info[field]) do
            add(ms / 1000, name, queue, percentile)
          end
        end
      end
      add(info.memory, 'memory_bytes', queue)
      add(info['waiting-workers'], 'waiting_workers', queue)
      for _, direction in ipairs({'in', 'out'}) do
        local paused = info.settings.paused == direction or info.settings.paused == 'all'
        add(paused and 1 or 0, 'paused', queue, direction)
      end
    end
  end
  if cursor ~= '0' and keys >= keys_max then
    complete = 0
  end
until cursor == '0' or complete == 0
if queues == 0 and refused then
  return refused
end
add(complete, 'scan_complete')
-- What INFO has of the module, redis_exporter does not ask for.
local server = redis.call('INFO', 'task')
for what, count in string.gmatch(server, 'task_waiting_for_(%a+):(%d+)') do
  add(count, 'waiting_clients', what)
end
add(string.match(server, 'task_tick_late_ms:(%d+)') / 1000, 'tick_late_seconds')
add(string.match(server, 'task_replicated_bytes:(%d+)'), 'replicated_bytes_total')
add(string.match(server, 'task_writes_refused:(%d+)'), 'writes_refused')
return values
