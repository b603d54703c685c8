-- Ends streams, and says until when they may not come back; see kick.h.
--
-- KEYS  the sorted set of bars: `<by> <name>`, and when each ends, in ms since 1970
-- ARGV  the relays' channel, the message on it, the bar, how long it lasts in ms ('0': there is none;
--       '-': it is lifted), how many bars there may be
--
-- The answer is `<relays> <until> <found>`: how many relays got the message ('-': this user may not
-- publish there), when the bar ends (0: there is none), and whether one was lifted.
--
-- The first write of a bar is one that Redis takes when it is out of memory, and it takes those behind it
-- too: what needs no memory to speak of has to work just then. What this user has no right to fails before
-- the bar is there. Bars that are over are removed here, since the members of a set have no expiry of their
-- own.
local bars, bar, lasts = KEYS[1], ARGV[3], ARGV[4]
local ends, found = 0, 0
local function last() return redis.call('ZRANGE', bars, -1, -1, 'WITHSCORES')[2] or 0 end
if lasts == '-' then
    found = redis.call('ZREM', bars, bar)
elseif lasts ~= '0' then
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    ends = now + lasts
    redis.call('ZREMRANGEBYSCORE', bars, '-inf', now)
    redis.call('PEXPIRE', bars, math.max(last(), ends) - now)
    local others = redis.call('ZCARD', bars)
    if redis.call('ZADD', bars, ends, bar) == 1 and others >= tonumber(ARGV[5]) then
        redis.call('ZREM', bars, bar)
        return redis.error_reply('SSEBARS there are ' .. ARGV[5] .. ' bars already')
    end
    redis.call('PEXPIRE', bars, last() - now)
end
local relays = redis.pcall('PUBLISH', ARGV[1], ARGV[2])
if type(relays) == 'table' then relays = '-' end
return relays .. ' ' .. string.format('%.0f', ends) .. ' ' .. found
