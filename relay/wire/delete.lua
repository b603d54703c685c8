-- Deletes a topic's log, and tells its readers. This text stands behind publish.lua, whose text is the
-- body of `local function publish(KEYS, ARGV) ... end`; see delete_script.h.
--
-- KEYS  clock, log and last of the topic
-- ARGV  birth, run, memory ms, the topic's channel, a channel that nobody listens to, and `gone` where
--       the log was deleted before (Redis was out of memory: this writes), else ''
--
-- The answer is `<announced> <entries> <id>`: what the log held, and where the topic goes on; or
-- `none` where there is no log.
--
-- Two ids are taken for no event: the topic's last id, and what comes before it. So every reader's
-- cursor is below both, with nothing in the log in between: it is told that events are gone
-- (`trimmed`), at once by the message and otherwise when it returns.
local log = KEYS[2]
local entries = redis.call('XLEN', log)
if redis.call('EXISTS', log) == 0 and ARGV[6] ~= 'gone' then return 'none' end
local nothing = '{"data":""}'
local answer = publish(KEYS, {ARGV[1], ARGV[2], ARGV[3], '1000', '1', '', '', ARGV[5],
                              '1', nothing, '1', nothing})
if type(answer) == 'table' then return answer end
local prev, id = string.match(answer, '^%d %d (%S+) (%S+)$')
redis.call('DEL', log)
local reply = redis.pcall('PUBLISH', ARGV[4], 'sse1 ' .. id .. ' ' .. prev .. ' {"deleted":true}')
return (type(reply) == 'table' and '0 ' or '1 ') .. entries .. ' ' .. id
