-- Says that a node is alive, and asks which are, and since when the store is what it is.
--
-- KEYS  the members with when each of them is taken for gone; the store's marker: the instant, in microseconds, since
--       when nothing that it holds was lost.
-- ARGV  the node's name; for how many milliseconds its word holds; for how long the marker is kept; where the node has
--       found other servers than before: the instant when it found the last ones, else 0; and what it was answered last, now
--       and the marker: 0 where this is its first word.
-- Answer  now in microseconds, the marker, and the members.
local time = redis.call('TIME')
local now, millis = time[1] * 1000000 + time[2], time[1] * 1000 + math.floor(time[2] / 1000)
-- What somebody else has written there is no list of nodes, and no instant of this store's.
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then redis.call('DEL', KEYS[1]) end
if redis.call('TYPE', KEYS[2]).ok ~= 'string' then redis.call('DEL', KEYS[2]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', millis)
redis.call('ZADD', KEYS[1], millis + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local written = redis.call('GET', KEYS[2]) or ''
local marker = string.match(written, '^%d+$') and #written <= #string.format('%.0f', now) and tonumber(written) or 0
-- A clock that was ahead has had counts end before their time, and is set right now.
local was_ahead = now < tonumber(ARGV[5]) and marker == tonumber(ARGV[6])
-- Whoever notices first moves it; the others find that it is later than what they saw.
if marker == 0 or marker <= tonumber(ARGV[4]) or was_ahead then marker = math.max(now, marker + 1) end
redis.call('SET', KEYS[2], string.format('%.0f', marker), 'PX', ARGV[3])
return { now, marker, redis.call('ZRANGE', KEYS[1], 0, -1) }
