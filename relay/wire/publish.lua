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
local call, sub, format = redis.call, string.sub, string.format
local json, key_ttl = ARGV[6], ARGV[7]
local topics = (#KEYS - 2 + #KEYS % 2) / 2
local events, numbers = topics, nil -- of topics, by their text, where there are many events
if json == '' and topics > 0 then
  events = math.floor((#ARGV - 7 - topics) / 2)
  numbers = {}
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

-- Eight digits, as times before 2059 have, are unrolled: a loop takes three times as long. It takes
-- nothing from outside, since each such thing would be allocated in each call.
local base36 = function(x)
  if not (x >= 0 and x < 2^64) then error('a number in the clock or in a log is none of ours', 0) end
  local char, low = string.char, ''
  while x >= 2821109907456 do
    local digit = x % 36
    low = char(digit < 10 and digit + 48 or digit + 87) .. low
    x = (x - digit) / 36
  end
  local a, b, c, d, e, f, g, h
  h = x % 36 x = (x - h) / 36 h = h < 10 and h + 48 or h + 87
  if x == 0 then return char(h) end
  g = x % 36 x = (x - g) / 36 g = g < 10 and g + 48 or g + 87
  if x == 0 then return char(g, h) end
  f = x % 36 x = (x - f) / 36 f = f < 10 and f + 48 or f + 87
  if x == 0 then return char(f, g, h) end
  e = x % 36 x = (x - e) / 36 e = e < 10 and e + 48 or e + 87
  if x == 0 then return char(e, f, g, h) end
  d = x % 36 x = (x - d) / 36 d = d < 10 and d + 48 or d + 87
  if x == 0 then return char(d, e, f, g, h) end
  c = x % 36 x = (x - c) / 36 c = c < 10 and c + 48 or c + 87
  if x == 0 then return char(c, d, e, f, g, h) end
  b = x % 36 x = (x - b) / 36 b = b < 10 and b + 48 or b + 87
  if x == 0 then return char(b, c, d, e, f, g, h) end
  a = x % 36 x = (x - a) / 36 a = a < 10 and a + 48 or a + 87
  return char(a, b, c, d, e, f, g, h) .. low
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
local micros = tonumber(time[2])
local now = time[1] * 1000 + (micros - micros % 1000) / 1000
local clock = call('HMGET', KEYS[1], 'birth', 'epoch', 'run', 'ms', 'seq', 'memory')
local birth, epoch, memory = clock[1], clock[2], clock[6]
local ms, seq = tonumber(clock[4]), tonumber(clock[5])
local ms_text, seq_text = clock[4], clock[5]
local head = birth and birth .. '.'
local news -- what changes in the clock beside ms and seq

-- What each event comes after: the last id of its topic, where it is of this birth, or '0'. There
-- is mostly one topic, and tables are not cheap.
local prev, prevs, known = '0', topics > 1 and {}, birth and topics < 2
for i = 1, topics do
  prev = call('GET', KEYS[2 * i + 1])
  if not prev or not head or sub(prev, 1, #head) ~= head then prev, known = '0', false end
  if prevs then prevs[i] = prev end
end

-- Rarely, the ends of the logs have to be read as well.
if not known then
  local before = prevs or {prev}
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
    news = {'ms', ms_text, 'seq', seq_text, 'birth', birth, 'epoch', epoch, 'run', ARGV[2],
            'memory', memory, 'from:1', ms_text .. '-' .. seq_text} -- what is sought most is first
    head = birth .. '.'
    for i = 1, topics do before[i] = '0' end
  else
    local m, s = string.match(call('HGET', KEYS[1], 'from:1') or '0-0', '(%d+)-(%d+)')
    m, s = tonumber(m), tonumber(s)
    for i, entry in pairs(ends) do
      if before[i] == '0' and (entry[1] > m or (entry[1] == m and entry[2] > s)) then
        local fields, g = entry[3], 1
        for j = 1, #fields, 2 do
          if fields[j] == 'g' then g = tonumber(fields[j + 1]) end
        end
        before[i] = head .. base36(g) .. '.' .. base36(entry[1]) .. '-' .. base36(entry[2])
      end
    end
  end
  prev = before[1] or prev
end

-- Another process of Redis may have lost a tail that clients have seen, and an epoch with it: its
-- number must not be given again, so it counts the seconds since the birth where they are more.
if not news and clock[3] ~= ARGV[2] then
  local born = string.match(call('HGET', KEYS[1], 'from:1') or '', '^%d+') or now
  epoch = format('%d', math.max(epoch + 1, math.floor((now - born) / 1000) + 1))
  news = {'epoch', epoch, 'run', ARGV[2], 'from:' .. epoch, ms_text .. '-' .. seq_text}
end

if topics > 0 then
  if #ARGV[4] >= #memory and tonumber(ARGV[4]) > tonumber(memory) then
    return redis.error_reply('SSETTL the time to live is above the memory of ' .. memory .. ' ms')
  end
  if now > ms then ms, seq, ms_text = now, -1, format('%d', now) end
end

local place = head .. (#epoch == 1 and epoch or base36(tonumber(epoch))) .. '.' .. base36(ms) .. '-'

-- The time to live of a last id is set anew by the first event of each 36 * 36 ms, for so much
-- longer, since setting it is half of what writing the id costs.
local memory_px = (not known or not string.find(prev, sub(place, 1, -4), 1, true))
  and format('%d', memory + 1296)

-- A user may lack the right to publish on a channel: the event is stored then, and the caller told.
local announced, id, ids, lasts = '1', nil, events > 1 and {}, prevs and {}
if topics == 0 then id = place .. base36(seq) end
for i = 1, events do
  local topic, event = i, json
  if numbers then topic, event = numbers[ARGV[6 + topics + 2 * i]], ARGV[7 + topics + 2 * i] end
  if prevs then prev = lasts[topic] or prevs[topic] end
  seq = seq + 1
  seq_text = format('%d', seq)
  id = place .. (seq < 10 and seq_text or base36(seq))
  -- XADD trims by one thing at a time: by age at every eleventh event or so, by count at some of
  -- the others. It takes away what a whole node of the log holds, so there is seldom something to do.
  local log, entry, turn = KEYS[2 * topic], ms_text .. '-' .. seq_text, (micros + i) % 11
  if turn > 3 then
    call('XADD', log, entry, 'e', event, 'p', prev, 'g', epoch)
  else
    local by, limit = 'MAXLEN', ARGV[5]
    if turn == 0 then by, limit = 'MINID', format('%d', math.max(0, ms - ARGV[4])) end
    call('XADD', log, by, '~', limit, entry, 'e', event, 'p', prev, 'g', epoch)
  end
  local reply = redis.pcall('PUBLISH', ARGV[7 + topic], 'sse1 ' .. id .. ' ' .. prev .. ' ' .. event)
  if type(reply) == 'table' then announced = '0' end
  prev = id
  if ids then ids[i] = id end
  if lasts then lasts[topic] = id end
end
for i = 1, topics do
  local last = prev
  if lasts then last = lasts[i] end
  if last then
    call('PEXPIRE', KEYS[2 * i], ARGV[4])
    if memory_px then
      call('SET', KEYS[2 * i + 1], last, 'PX', memory_px)
    else
      call('SET', KEYS[2 * i + 1], last, 'KEEPTTL')
    end
  end
end

if news then
  if clock[1] and birth ~= clock[1] then call('DEL', KEYS[1]) end
  call('HSET', KEYS[1], unpack(news))
end
if news or ms_text ~= clock[4] then
  call('HSET', KEYS[1], 'ms', ms_text, 'seq', seq_text)
elseif topics > 0 then
  call('HSET', KEYS[1], 'seq', seq_text)
end
if once then
  call('SET', once, content .. ' ' .. announced .. ' ' .. (ids and ids[1] or id), 'PX', key_ttl)
end
return announced .. ' 0 ' .. (ids and table.concat(ids, ' ') or id)
