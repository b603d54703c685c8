-- Publishes durable events, or with no topics only looks after the domain's clock; see publish.h.
--
-- KEYS  clock, then log and last of each topic, then once where there is an idempotency key
-- ARGV  birth, run, memory ms, time to live ms, history, the event's JSON, the key's time to live
--       ms or '', then the channel of each topic
--
-- The answer is `<announced> <duplicate> <id> ...`. The first write is the first XADD, which Redis
-- refuses when it is out of memory; until then every key was looked at (XADD itself looks at the
-- log), so that none of a wrong type ends the script half-way. ms and seq stay two numbers, since a
-- double does not hold more; what Redis is given is text, since Redis formats numbers slowly.
local call, sub = redis.call, string.sub
local json, key_ttl = ARGV[6], ARGV[7]
local topics = #ARGV - 7
local once, content

if key_ttl ~= '' then
  once = KEYS[2 * topics + 2]
  content = redis.sha1hex(table.concat(ARGV, '\n', 8) .. '\n' .. json)
  local given = call('GET', once)
  if given then
    if sub(given, 1, 40) ~= content then
      return redis.error_reply('SSECONFLICT the key was given to another publish')
    end
    call('PEXPIRE', once, key_ttl) -- a write, so that WAIT has something to wait for
    return sub(given, 42, 43) .. '1' .. sub(given, 43)
  end
end

local function base36(x)
  local text = ''
  repeat
    local digit = x % 36
    text = sub('0123456789abcdefghijklmnopqrstuvwxyz', digit + 1, digit + 1) .. text
    x = (x - digit) / 36
  until x == 0
  return text
end

local time = call('TIME')
local now = time[1] .. sub('00000' .. time[2], -6, -4)
local c = call('HMGET', KEYS[1], 'birth', 'epoch', 'run', 'ms', 'seq', 'memory')
local birth, epoch, memory, ms, seq = c[1], c[2], c[6], tonumber(c[4]), tonumber(c[5])
local news -- what changes in the clock beside ms and seq

-- What each topic's event comes after: an id of this birth, or '0'.
local prevs, known = {}, birth and topics < 2
for i = 1, topics do
  local last = call('GET', KEYS[2 * i + 1])
  if last and birth and sub(last, 1, #birth + 1) == birth .. '.' then
    prevs[i] = last
  else
    prevs[i] = '0'
    known = false
  end
end

if not known then
  local tops, top_ms, top_seq = {}, 0, 0 -- the last entries of the logs, the greatest of them
  for i = 1, topics do
    local entry = call('XREVRANGE', KEYS[2 * i], '+', '-', 'COUNT', 1)[1]
    if entry then
      local m, s = string.match(entry[1], '(%d+)-(%d+)')
      m, s = tonumber(m), tonumber(s)
      if m > top_ms or (m == top_ms and s > top_seq) then top_ms, top_seq = m, s end
      tops[i] = {m, s, entry[2]}
    end
  end
  if not birth or top_ms > ms or (top_ms == ms and top_seq > seq) then
    -- A clock is born where there is none, or one that is behind its logs and so not theirs. All
    -- that they hold belongs to another birth.
    if top_ms < tonumber(now) then top_ms, top_seq = now - 1, 0 end
    birth, epoch, memory, ms, seq = ARGV[1], '1', ARGV[3], top_ms, top_seq
    for i = 1, topics do prevs[i] = '0' end
    news = {'birth', birth, 'epoch', epoch, 'run', ARGV[2], 'memory', memory,
            'from:1', ms .. '-' .. seq}
  else
    local m, s = string.match(call('HGET', KEYS[1], 'from:1') or '', '(%d+)-(%d+)')
    m, s = tonumber(m or 0), tonumber(s or 0)
    for i, top in pairs(tops) do
      if prevs[i] == '0' and (top[1] > m or (top[1] == m and top[2] > s)) then
        local g = 1
        for j = 1, #top[3], 2 do
          if top[3][j] == 'g' then g = tonumber(top[3][j + 1]) end
        end
        prevs[i] = birth .. '.' .. base36(g) .. '.' .. base36(top[1]) .. '-' .. base36(top[2])
      end
    end
  end
end

if not news and c[3] ~= ARGV[2] then
  -- Another process of Redis, which may have lost a tail that clients have seen.
  epoch = epoch + 1 .. ''
  news = {'epoch', epoch, 'run', ARGV[2], 'from:' .. epoch, ms .. '-' .. seq}
end
local ids = {}
if topics > 0 then
  if tonumber(ARGV[4]) > tonumber(memory) then
    return redis.error_reply('SSETTL the time to live is above the memory of ' .. memory .. ' ms')
  end
  if tonumber(now) > ms then ms, seq = tonumber(now), -1 end
end
local place = birth .. '.' .. base36(tonumber(epoch)) .. '.' .. base36(ms) .. '-'
local ms_text, seq_text = string.format('%d', ms), seq .. ''
if topics == 0 then ids[1] = place .. base36(seq) end
for i = 1, topics do
  local log = KEYS[2 * i]
  seq = seq + 1
  seq_text = seq .. ''
  ids[i] = place .. base36(seq)
  if time[2] % 8 == 0 then
    call('XADD', log, 'MINID', '~', now - ARGV[4], ms_text .. '-' .. seq_text, 'e', json, 'p', prevs[i], 'g', epoch)
  else
    call('XADD', log, 'MAXLEN', '~', ARGV[5], ms_text .. '-' .. seq_text, 'e', json, 'p', prevs[i], 'g', epoch)
  end
  call('PEXPIRE', log, ARGV[4])
  call('SET', KEYS[2 * i + 1], ids[i], 'PX', memory)
end
if topics > 0 or news then call('HSET', KEYS[1], 'ms', ms_text, 'seq', seq_text) end
if news then call('HSET', KEYS[1], unpack(news)) end
local announced = '1'
for i = 1, topics do
  local reply = redis.pcall('PUBLISH', ARGV[7 + i], 'sse1 ' .. ids[i] .. ' ' .. prevs[i] .. ' ' .. json)
  if type(reply) == 'table' then announced = '0' end
end
if once then
  call('SET', once, content .. ' ' .. announced .. ' ' .. table.concat(ids, ' '), 'PX', key_ttl)
end
return announced .. ' 0 ' .. table.concat(ids, ' ')
