-- Down the heap to its place: the first of the list is the first in the order of choice.
local function sink(list, at)
  local one, size = list[at], #list
  while true do
    local child = 2 * at
    if child > size then break end
    if child < size and before(list[child + 1], list[child]) then child = child + 1 end
    if not before(list[child], one) then break end
    list[at], at = list[child], child
  end
  list[at] = one
end

-- `takes` takes of one send each from a pool that limits nothing itself, one after another as far as there is room: each
-- falls to whoever is first in the order of choice at that moment. Returns a list of { address, c, count } and their sum.
local function take_singles(scope, takes, family)
  set_right, gave_up = 0, false
  local families, charged, by_address, given = families_of(scope, family), {}, {}, 0
  local turns = 0
  repeat
    local taken, more_turns = take_turns(scope, families)
    turns = turns + taken
    while given < takes do
      local most = min(MOST_IPS, takes - given + 1)
      local list = candidates(scope, families, most)
      if #list == 0 then break end
      -- Behind the last of a full list others may wait that were not read: nobody is charged past its place.
      local edge = #list == most and { score = list[most].score, address = list[most].address }
      local round = {}
      while given < takes and #list > 0 do
        local first = list[1]
        if edge and before(edge, first) then break end
        charge(first.c, 1, 1)
        given = given + 1
        if not first.count then
          first.count = 0
          round[#round + 1] = first
        end
        first.count, first.room, first.score = first.count + 1, first.room - 1, score_of(first.c)
        if first.room < 1 then
          list[1] = list[#list]
          list[#list] = nil
        end
        if list[2] then sink(list, 1) end
      end
      write_charged(scope, round)
      for _, one in ipairs(round) do
        local known = by_address[one.address]
        if known then
          known.count = known.count + one.count
        else
          by_address[one.address] = one
          charged[#charged + 1] = one
        end
      end
    end
  until given >= takes or not more_turns or gave_up or turns >= MOST_SET_RIGHT
  return charged, given
end
