#!/bin/sh
# Stops a redis-server when the process that wanted it is gone, even after a kill -9: the keeper waits on a pipe whose other
# end only that process holds, so the kernel tells it. A few lines of sh, because it must cost nothing and outlive node.
#
#   redis-keeper.sh run  <pid file> <folder> <redis-server> <arguments>...    becomes that redis-server, beside its keeper
#   redis-keeper.sh keep <pid file> <folder> <pid>                            keeps a redis-server that lost its keeper
#
# File descriptor 3 is the pipe: its end means stop, "done" means that Redis has ended already.
# The pid file says what stands where: the folder it was written for, Redis's pid and birth, the keeper's pid and birth. It is
# there before Redis is: a redis-server that nobody could find again would write to the same files as the next one.

# When a process was born, which tells it from a later one with the same pid. process-identity.ts finds the same words.
birth_of() {
  if [ -r /proc/self/stat ]; then
    stat=$(cat "/proc/$1/stat") || return 1
    # shellcheck disable=SC2086 # the fields after the name, which alone may hold blanks; field 3 is the state, 22 the birth
    set -- ${stat##*) }
    case "$1" in Z | X) return 1 ;; esac
    echo "${20}"
  else
    LC_ALL=C TZ=UTC0 ps -o lstart= -p "$1"
  fi
}

write_pid_file() {
  {
    echo "$folder"
    echo "$1 $(birth_of "$1")"
    echo "$2 $(birth_of "$2")"
  } >"$pid_file.new" && mv "$pid_file.new" "$pid_file"
}

# Only the word "done" lets Redis live. The keeper stays until Redis is gone, so that whoever sees a keeper knows that its
# Redis is still being kept, or being stopped. After 200 x 0.1 s it kills: what was acknowledged is on disk, nothing is lost.
keep() {
  exec </dev/null >/dev/null 2>&1
  trap '' HUP INT QUIT TERM
  cd /
  birth=$(birth_of "$1")
  read -r word <&3
  [ "$word" = done ] && exit 0
  tries=0
  while [ "$tries" -lt 250 ] && [ "$(birth_of "$1")" = "$birth" ]; do
    [ "$tries" -eq 0 ] && kill -TERM "$1"
    [ "$tries" -eq 200 ] && kill -KILL "$1"
    tries=$((tries + 1))
    sleep 0.1 || sleep 1
  done
}

mode=$1
pid_file=$2
folder=$3
shift 3
umask 077

case "$mode" in
  run)
    # The keeper's own parent ends at once, so that Redis never finds a child that it did not make.
    keeper=$(
      keep $$ &
      echo $!
    )
    write_pid_file $$ "$keeper" || exit 1
    exec "$@" 3<&-
    ;;
  keep)
    write_pid_file "$1" $$
    keep "$1"
    ;;
esac
