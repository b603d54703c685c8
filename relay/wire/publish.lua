-- Publishes durable events, or with no topics only looks after the domain's clock; see publish_script.h.
--
-- KEYS  clock, then log and last of each topic, then once where there is an idempotency key
-- ARGV  birth, run, memory ms, time to live ms, history, the event's JSON, the key's time to live
--       ms or '', then the channel of each topic; where the event's JSON is '', then many events:
--       of each the number of its topic, from 1, and its JSON
--
-- run is the run_id of the server (INFO server), as the caller knows it. Where it is not that of the
-- clock, the script asks the server itself; with '' it always does, for whoever cannot know.
--
-- The answer is `<announced> <duplicate> <id> ...`; with no topics the id is the clock's position.
-- Scripts do not roll back, so whatever may make a call fail is looked at before the first write:
-- each argument; each key, for its type (XADD looks at the log itself); and what the clock holds.
-- The first write is one that Redis refuses when it is out of memory. ms and seq stay two numbers,
-- since a double holds no more, and what Redis gets is text, since it formats numbers slowly.
-- Globals that are often used stand in locals, and `+ 0` makes a number, since calls and look-ups
-- are what this costs.
local KEYS, ARGV = KEYS, ARGV
local call, sub, find = redis.call, string.sub, string.find
local char, format = string.char, string.format
local ttl, history, json, key_ttl = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local keys, values = #KEYS, #ARGV

-- Why no relay would deliver the event with this JSON, or nil. Searches for plain text cost least,
-- and tell the commonest forms: data without escapes, alone or behind a simple name. Else cjson
-- tells, which takes 0.7 µs for 100 bytes, and 2 for 1,000: so of a longer event only what plain
-- searches find is looked at, and cjson is asked where that looks odd. What is let through is told
-- to readers by a reset.
local refusal = function(json)
  local find, size = string.find, #json
  local has_line_end = find(json, '\n', 1, true) or find(json, '\r', 1, true)
  local _, quote, name = find(json, '^{"data": ?"')
  if not quote then _, quote, name = find(json, '^{"event": ?"([%w_-]*)", ?"data": ?"') end
  if quote and find(json, '"', quote + 1, true) == size - 1 and string.byte(json, -1) == 125
     and size <= 1048576 and not has_line_end and not find(json, '\\', 1, true) and not find(json, '\0', 1, true)
     and not (name and (name == 'error' or name == 'open' or #name > 128)) then
    return nil
  end
  local is_odd_name = function(name)
    return #name > 128 or name == 'error' or name == 'open' or find(name, '^relay%.') or find(name, '%c')
      or find(name, '\194[\128-\159]')
  end
  if not find(json, '^{') then return 'its JSON does not begin with {' end
  if size > 128 and size <= 1048576 and not has_line_end then
    local _, colon = find(json, '"data":', 1, true)
    local _, event = find(json, '"event":', 1, true)
    local name = event and string.match(json, '^ ?"([^"\\]*)"', event + 1)
    if colon and find(json, '^ ?"', colon + 1) and find(json, '}', -1, true)
       and not (event and (not name or is_odd_name(name))) and not find(json, '"retry":', 1, true)
       and not find(json, '\\ud', 1, true) and not find(json, '\\uD', 1, true) then
      return nil
    end
  end
  if size > 6295552 then return 'its JSON is longer than 6 MiB and 4 KiB' end
  local ok, event = pcall(cjson.decode, json)
  if not ok then return 'it is not valid JSON (' .. tostring(event) .. ')' end
  -- cjson takes line ends within strings. Were one there, its string's first quote would be left.
  if has_line_end and find(string.gsub(string.gsub(json, '\\.', ''), '"[^"%c]*"', ''), '"', 1, true) then
    return 'it is not valid JSON: a string holds the end of a line, which is written \\n'
  end
  if type(event) ~= 'table' or type(event.data) ~= 'string' then
    return 'its JSON is not an object whose member data is a string'
  end
  if #event.data > 1048576 then return 'its data is longer than 1 MiB' end
  local name, retry = event.event, event.retry
  if name ~= nil and name ~= cjson.null and (type(name) ~= 'string' or is_odd_name(name)) then
    return 'its member event is not a name of up to 128 bytes without control characters, other than error, '
      .. 'open and those that begin with relay.'
  end
  if retry ~= nil and retry ~= cjson.null
     and (type(retry) ~= 'number' or retry % 1 > 0 or not (retry >= 100 and retry <= 3600000)) then
    return 'its member retry is not a whole number from 100 to 3600000'
  end
end
local topics = (keys - 2 + keys % 2) / 2
local events, numbers = topics, nil -- of topics, by their text, where there are many events
if json == '' and topics > 0 then
  events = (values - 7 - topics) / 2
  numbers = {}
  for i = 1, topics do numbers[tostring(i)] = i end
  for i = 1, events do
    if not numbers[ARGV[6 + topics + 2 * i]] then
      return redis.error_reply('ERR event ' .. i .. ' is of no topic that was named')
    end
    local why = refusal(ARGV[7 + topics + 2 * i])
    if why then
      return redis.error_reply('SSEEVENT no relay would deliver event ' .. i .. ': ' .. why)
    end
  end
  if events < 1 or events % 1 > 0 then
    return redis.error_reply('ERR no event, or half of one: each is a topic and JSON')
  end
elseif values ~= 7 + topics then
  return redis.error_reply('ERR there have to be 7 values, and a channel of each topic')
elseif topics > 0 then
  local why = refusal(json)
  if why then return redis.error_reply('SSEEVENT no relay would deliver the event: ' .. why) end
end
if (key_ttl == '') == (keys % 2 == 0) then
  return redis.error_reply('ERR there has to be a key where it has a time to live, and only there')
end
if not (find(ttl, '^[1-9]%d*$') and find(history, '^[1-9]%d*$')) or #history > 15 then
  return redis.error_reply('ERR time to live and history have to be whole numbers above 0')
end
local clock_key, log_key, last_key, fourth = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local is_twice = clock_key == log_key or log_key == last_key or last_key == clock_key
if keys == 4 then
  is_twice = is_twice or fourth == clock_key or fourth == log_key or fourth == last_key
elseif keys > 4 then
  local seen = {}
  for i = 1, keys do
    is_twice = is_twice or seen[KEYS[i]]
    seen[KEYS[i]] = true
  end
end
if is_twice and topics > 0 then return redis.error_reply('ERR a key stands there twice') end

-- Eight digits, as times before 2059 have, are unrolled: a loop takes three times as long. It takes
-- nothing from outside, since each such thing would be allocated in each call.
local base36 = function(x)
  if not (x >= 0 and x < 2^53) then error('a number in the clock or in a log is none of ours', 0) end
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
  if not find(key_ttl, '^[1-9]%d*$') or #key_ttl > 15 then
    return redis.error_reply("ERR the key's time to live has to be a whole number above 0")
  end
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
local micros = time[2] + 0
local now = time[1] * 1000 + (micros - micros % 1000) / 1000
local clock = call('HMGET', clock_key, 'birth', 'epoch', 'run', 'ms', 'seq', 'memory')
local birth, epoch, memory = clock[1], clock[2], clock[6]
local ms_text, seq_text = clock[4], clock[5]
local ms, seq = birth and ms_text + 0, birth and seq_text + 0
local head = birth and birth .. '.'
local news -- what changes in the clock beside ms and seq

-- The caller's word for the server counts where it is the clock's. Else the server itself is asked:
-- a client that reconnects unseen, as pools do, may still pass the run_id of another one.
local run = ARGV[2]
if clock[3] ~= run then
  local info = redis.pcall('INFO', 'server')
  if type(info) == 'string' then
    run = string.match(info, 'run_id:(%w+)') or run
  elseif run == '' then
    return redis.error_reply('ERR the value run is empty, and the user has no right to ask the server (+info)')
  end
end

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
    -- they hold up to from:1 is of another birth. That is at the end of this millisecond, since the
    -- logs of other topics may hold events of it.
    if top_ms < now then top_ms, top_seq = now, 0 end
    if top_ms == now then top_seq = top_seq + 999999 end
    if not find(ARGV[1], '^[a-z0-9]+$') or #ARGV[1] > 16 then
      return redis.error_reply('ERR a birth has to be 1 to 16 of a-z and 0-9')
    end
    if not find(ARGV[3], '^[1-9]%d*$') then
      return redis.error_reply('ERR the memory has to be a whole number above 0')
    end
    birth, epoch, memory, ms, seq = ARGV[1], '1', ARGV[3], top_ms, top_seq
    ms_text, seq_text = format('%d', ms), format('%d', seq)
    news = {'ms', ms_text, 'seq', seq_text, 'birth', birth, 'epoch', epoch, 'run', run,
            'memory', memory, 'from:1', ms_text .. '-' .. seq_text} -- what is sought most is first
    head = birth .. '.'
    for i = 1, topics do before[i] = '0' end
  else
    local m, s = string.match(call('HGET', clock_key, 'from:1') or '0-0', '(%d+)-(%d+)')
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
-- That also says how old a note is. Those that are older than the memory go, and all but the newest
-- 255: `noted` says which epoch is the first whose note, and all that follow, are there. Whoever has
-- no right to do so leaves them to others.
local old_notes
if not news and clock[3] ~= run then
  local born = (string.match(call('HGET', clock_key, 'from:1') or '', '^%d+') or now) + 0
  epoch = format('%d', math.max(epoch + 1, math.floor((now - born) / 1000) + 1))
  news = {'epoch', epoch, 'run', run, 'from:' .. epoch, ms_text .. '-' .. seq_text}
  local noted, fields = {}, redis.pcall('HKEYS', clock_key)
  old_notes = {}
  for i = 1, #fields do
    local number = tonumber(string.match(fields[i], '^from:(%d+)$'))
    if number and number > 1 then noted[#noted + 1] = number end
  end
  table.sort(noted)
  local ago = now - born - (tonumber(memory) or 0) - 3600000
  for i = 1, #noted do
    if noted[i] * 1000 > ago and #noted - i < 254 then break end
    old_notes[i] = 'from:' .. format('%d', noted[i])
    news[8] = noted[i + 1] and format('%d', noted[i + 1]) or epoch
  end
  if news[8] then news[7] = 'noted' end
end

if topics > 0 then
  if #ttl > 15 or (#ttl >= #memory and tonumber(ttl) > tonumber(memory)) then
    return redis.error_reply('SSETTL the time to live is above the memory of ' .. memory .. ' ms')
  end
  if now > ms then ms, seq, ms_text = now, -1, format('%d', now) end
end

local place = head .. (#epoch == 1 and epoch or base36(tonumber(epoch))) .. '.' .. base36(ms) .. '-'

-- The time to live of a last id is set anew by the first event of each 36 * 36 ms, for so much
-- longer, since setting it is half of what writing the id costs.
local memory_px = (not known or not find(prev, sub(place, 1, -4), 1, true))
  and (tonumber(memory) or 0) + 1296
if memory_px then
  if not (memory_px > 1296 and memory_px < 2^52) then
    return redis.error_reply('ERR no last id can be kept for a memory of ' .. memory .. ' ms')
  end
  memory_px = format('%d', memory_px)
end
if not (seq + events < 2^53) then error('a number in the clock or in a log is none of ours', 0) end

-- A user may lack the right to publish on a channel: the event is stored then, and the caller told.
local announced, id, ids, lasts = '1', nil, events > 1 and {}, prevs and {}
if topics == 0 then id = place .. base36(seq) end
for i = 1, events do
  local topic, event = i, json
  if numbers then topic, event = numbers[ARGV[6 + topics + 2 * i]], ARGV[7 + topics + 2 * i] end
  if prevs then prev = lasts[topic] or prevs[topic] end
  seq = seq + 1
  seq_text = seq < 10 and char(seq + 48) or format('%d', seq)
  id = place .. (seq < 10 and seq_text or base36(seq))
  -- XADD trims by one thing at a time: by age at every eleventh event or so, by count at some of
  -- the others. It takes away what a whole node of the log holds, so there is seldom something to do.
  local log, entry, turn = KEYS[2 * topic], ms_text .. '-' .. seq_text, (micros + i) % 11
  if turn > 3 then
    call('XADD', log, entry, 'e', event, 'p', prev, 'g', epoch)
  else
    local by, limit = 'MAXLEN', history
    if turn == 0 then by, limit = 'MINID', format('%d', math.max(0, ms - ttl)) end
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
    call('PEXPIRE', KEYS[2 * i], ttl)
    if memory_px then
      call('SET', KEYS[2 * i + 1], last, 'PX', memory_px)
    else
      call('SET', KEYS[2 * i + 1], last, 'KEEPTTL')
    end
  end
end

if news then
  if clock[1] and birth ~= clock[1] then call('DEL', clock_key) end
  call('HSET', clock_key, unpack(news))
  for i = 1, old_notes and #old_notes or 0 do redis.pcall('HDEL', clock_key, old_notes[i]) end
end
if news or ms_text ~= clock[4] then
  call('HSET', clock_key, 'ms', ms_text, 'seq', seq_text)
elseif topics > 0 then
  call('HSET', clock_key, 'seq', seq_text)
end
if once then
  call('SET', once, content .. ' ' .. announced .. ' ' .. (ids and ids[1] or id), 'PX', key_ttl)
end
return announced .. ' 0 ' .. (ids and table.concat(ids, ' ') or id)
