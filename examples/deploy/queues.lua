-- For redis_exporter: `redis_exporter -script queues.lua` has each value as redis_script_values{key="tasks mail ready"}; with prometheus.yml they are
-- named as those of ../python/metrics.py. In a cluster each node has its own queues: one exporter for each.
local values = {}
local function add(value, ...)
  values[#values + 1] = table.concat({...}, ' ')
  values[#values + 1] = string.format('%.14g', value)
end
local cursor, seen = '0', {}
repeat
  local page = redis.call('SCAN', cursor, 'TYPE', 'taskqueue', 'COUNT', 1000)
  cursor = page[1]
  for _, queue in ipairs(page[2]) do
    local answer = redis.pcall('TASK.INFO', queue, 'JSON') -- an error: this user may not read it
    if not seen[queue] and type(answer) == 'string' then
      seen[queue] = true
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
      add(info.settings.paused == 'no' and 0 or 1, 'paused', queue)
    end
  end
until cursor == '0'
-- What INFO has of the module, redis_exporter does not ask for.
local server = redis.call('INFO', 'task')
for what, count in string.gmatch(server, 'task_waiting_for_(%a+):(%d+)') do
  add(count, 'waiting_clients', what)
end
add(string.match(server, 'task_tick_late_ms:(%d+)') / 1000, 'tick_late_seconds')
add(string.match(server, 'task_replicated_bytes:(%d+)'), 'replicated_bytes_total')
return values
