-- Publishes durable events, or with no topics only looks after the domain's clock; see publish.h.
--
-- KEYS  clock, then log and last of each topic, then once where there is an idempotency key
-- ARGV  birth, run, memory ms, time to live ms, history, the event's JSON, the key's time to live
--       ms or '', then the channel of each topic; where the event's JSON is '', then many events:
--       of each the number of its topic, from 1, and its JSON
--
-- The answer is `<announced> <duplicate> <id> ...`; with no topics the id is the clock's position.
-- The first write is one that Redis refuses when it is out of memory; by then every key was looked
-- at (XADD looks at the log itself), so that none of a wrong type ends the script half-way. ms and
-- seq stay two numbers, since a double holds no more, and what Redis gets is text, since it formats
-- numbers slowly.
local call, sub, format, char = redis.call, string.sub, string.format, string.char
local json, key_ttl = ARGV[6], ARGV[7]
local topics = (#KEYS - 2 + #KEYS % 2) / 2
local events, numbers = topics, {} -- of topics, by their text
if json == '' and topics > 0 then
  events = math.floor((#ARGV - 7 - topics) / 2)
  for i = 1, topics do numbers[tostring(i)] = i end
  for i = 1, events do
    if not numbers[ARGV[6 + topics + 2 * i]] then
      return redis.error_reply('ERR event ' .. i .. ' is of no topic that was named')
    end
  end
  if events < 1 or not string.find(ARGV[4] .. ARGV[5], '^%d+$') then
    return redis.error_reply('ERR no event, or no number where there has to be one')
  end
end

local function base36(x)
  if not (x >= 0 and x < 2^64) then -- it would never end, and nobody else be served
    error('a number in the clock or in a log is none of ours', 0)
  end
  local text = ''
  repeat
    local digit = x % 36
    text = char(digit < 10 and digit + 48 or digit + 87) .. text
    x = (x - digit) / 36
  until x == 0
  return text
end

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
    local announced, place, seq = string.match(given, '([01]) (%S-%-)(%w+)', 42)
    local ids = {}
    for i = 1, events do ids[i] = place .. base36(tonumber(seq, 36) + i - 1) end
    return announced .. ' 1 ' .. table.concat(ids, ' ')
  end
end

local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local clock = call('HMGET', KEYS[1], 'birth', 'epoch', 'run', 'ms', 'seq', 'memory')
local birth, epoch, memory = clock[1], clock[2], clock[6]
local ms, seq = tonumber(clock[4]), tonumber(clock[5])
local ms_text, seq_text = clock[4], clock[5]
local news -- what changes in the clock beside ms and seq

-- What each event comes after: the last id of its topic, where it is of this birth, or '0'.
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

-- Rarely, the ends of the logs have to be read as well.
if not known then
  local ends, top_ms, top_seq = {}, 0, 0 -- the last entry of each log, and the greatest of them
  for i = 1, topics do
    local entry = call('XREVRANGE', KEYS[2 * i], '+', '-', 'COUNT', 1)[1]
    if entry then
      local m, s = string.match(entry[1], '(%d+)-(%d+)')
      m, s = tonumber(m), tonumber(s)
      if m > top_ms or (m == top_ms and s > top_seq) then top_ms, top_seq = m, s end
      ends[i] = {m, s, entry[2]}
    end
  end
  if not birth or top_ms > ms or (top_ms == ms and top_seq > seq) then
    -- A clock is born where there is none, or one that is behind its logs and so not theirs. What
    -- they hold up to from:1 is of another birth.
    if top_ms < now then top_ms, top_seq = now - 1, 0 end
    birth, epoch, memory, ms, seq = ARGV[1], '1', ARGV[3], top_ms, top_seq
    ms_text, seq_text = format('%d', ms), format('%d', seq)
    news = {'birth', birth, 'epoch', epoch, 'run', ARGV[2], 'memory', memory,
            'from:1', ms_text .. '-' .. seq_text}
    for i = 1, topics do prevs[i] = '0' end
  else
    local m, s = string.match(call('HGET', KEYS[1], 'from:1') or '0-0', '(%d+)-(%d+)')
    m, s = tonumber(m), tonumber(s)
    for i, entry in pairs(ends) do
      if prevs[i] == '0' and (entry[1] > m or (entry[1] == m and entry[2] > s)) then
        local fields, g = entry[3], 1
        for j = 1, #fields, 2 do
          if fields[j] == 'g' then g = tonumber(fields[j + 1]) end
        end
        prevs[i] = birth .. '.' .. base36(g) .. '.' .. base36(entry[1]) .. '-' .. base36(entry[2])
      end
    end
  end
end

-- Another process of Redis may have lost a tail that clients have seen.
if not news and clock[3] ~= ARGV[2] then
  epoch = format('%d', epoch + 1)
  news = {'epoch', epoch, 'run', ARGV[2], 'from:' .. epoch, ms_text .. '-' .. seq_text}
end

if topics > 0 then
  if #ARGV[4] >= #memory and tonumber(ARGV[4]) > tonumber(memory) then
    return redis.error_reply('SSETTL the time to live is above the memory of ' .. memory .. ' ms')
  end
  if now > ms then ms, seq, ms_text = now, -1, format('%d', now) end
end

-- Times of 1972 to 2059 have eight digits: that loop unrolled is at a third of its cost.
local at
if ms < 78364164096 or ms >= 2821109907456 then
  at = base36(ms)
else
  local x, a, b, c, d, e, f, g = ms
  g = x % 36 x = (x - g) / 36
  f = x % 36 x = (x - f) / 36
  e = x % 36 x = (x - e) / 36
  d = x % 36 x = (x - d) / 36
  c = x % 36 x = (x - c) / 36
  b = x % 36 x = (x - b) / 36
  a = x % 36 x = (x - a) / 36
  at = char(x < 10 and x + 48 or x + 87, a < 10 and a + 48 or a + 87,
    b < 10 and b + 48 or b + 87, c < 10 and c + 48 or c + 87, d < 10 and d + 48 or d + 87,
    e < 10 and e + 48 or e + 87, f < 10 and f + 48 or f + 87, g < 10 and g + 48 or g + 87)
end
local place = birth .. '.' .. (#epoch == 1 and epoch or base36(tonumber(epoch))) .. '.' .. at .. '-'

-- A user may lack the right to publish on a channel: the event is stored then, and the caller told.
local announced, ids, lasts = '1', {}, {}
if topics == 0 then ids[1] = place .. base36(seq) end
for i = 1, events do
  local topic, event = i, json
  if json == '' then -- one of many
    topic, event = numbers[ARGV[6 + topics + 2 * i]], ARGV[7 + topics + 2 * i]
  end
  local prev = lasts[topic] or prevs[topic]
  seq = seq + 1
  seq_text = format('%d', seq)
  local id = place .. (seq < 10 and seq_text or base36(seq))
  -- XADD trims by one thing at a time: by count, and at every tenth event or so by age.
  local by, limit = 'MAXLEN', ARGV[5]
  if (time[2] + i) % 10 == 0 then by, limit = 'MINID', format('%d', math.max(0, ms - ARGV[4])) end
  call('XADD', KEYS[2 * topic], by, '~', limit, ms_text .. '-' .. seq_text,
    'e', event, 'p', prev, 'g', epoch)
  local reply = redis.pcall('PUBLISH', ARGV[7 + topic], 'sse1 ' .. id .. ' ' .. prev .. ' ' .. event)
  if type(reply) == 'table' then announced = '0' end
  ids[i], lasts[topic] = id, id
end
for i = 1, topics do
  if lasts[i] then
    call('PEXPIRE', KEYS[2 * i], ARGV[4])
    call('SET', KEYS[2 * i + 1], lasts[i], 'PX', memory)
  end
end

if news then
  if clock[1] and birth ~= clock[1] then call('DEL', KEYS[1]) end
  call('HSET', KEYS[1], unpack(news))
end
if topics > 0 or news then call('HSET', KEYS[1], 'ms', ms_text, 'seq', seq_text) end
if once then call('SET', once, content .. ' ' .. announced .. ' ' .. ids[1], 'PX', key_ttl) end
return announced .. ' 0 ' .. table.concat(ids, ' ')
