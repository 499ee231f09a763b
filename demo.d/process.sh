# shellcheck shell=bash
# Starting, waiting for and ending processes. Every wait has a deadline, and only what the demo started is ended.

# Who types a command: its user, its home, its environment. Nothing of the caller's environment gets in. Sets ENTER, the
# words in front of the command, and HOME_OF, where it runs.
entering() { # WHO
    local machine=${1#*@} user=$OWNER
    HOME_OF=$RUN/$machine
    local setting=(PATH="$RUN/bin:$PGBIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        HOME="$HOME_OF" LANG=C.UTF-8 TZ=UTC NO_COLOR=1
        KHEEPER_CONFIG="$HOME_OF/kheeper" KHEEPER_ENDPOINT="${ENDPOINT[$machine]:-}")
    case $1 in
        server | web-01 | web-02) user=$(id -un) ;;
        *) setting+=(PGHOST="$HOME_OF/pg/run" PGDATA="$HOME_OF/pg/data" PGUSER=postgres PGDATABASE=postgres) ;;
    esac
    ENTER=(env -i "${setting[@]}")
    if [ "$user" != "$(id -un)" ]; then
        ENTER=(setpriv --reuid="$user" --regid="$(id -gn "$user")" --init-groups "${ENTER[@]}")
    fi
}

enter() { # WHO COMMAND…
    local ENTER HOME_OF
    entering "$1"
    (cd "$HOME_OF" && exec "${ENTER[@]}" "${@:2}")
}

# Types a command, runs it, shows what it says; a failure ends the demo.
on() { # WHO COMMAND…
    typed "$@"
    enter "$@" >"$RUN/said" 2>&1 || {
        local code=$?
        SHOW=20 shown <"$RUN/said"
        fail "'${*:2}' exited with $code"
    }
    shown <"$RUN/said"
}

# Types a command and leaves it running under a name; its output goes to log/NAME.log.
spawn() { # NAME WHO COMMAND…
    local name=$1
    shift
    typed "$@" '&' | sed "s/'&'/\\&/"
    local ENTER HOME_OF
    entering "$1"
    # One subshell that becomes the program, so that its pid is the program's.
    (cd "$HOME_OF" && exec "${ENTER[@]}" "${@:2}") </dev/null >>"$RUN/log/$name.log" 2>&1 &
    echo $! >"$RUN/pids/$name"
    disown $!
}

running() { # NAME
    local pid
    pid=$(cat "$RUN/pids/$1" 2>/dev/null) && kill -0 "$pid" 2>/dev/null && ! grep -qs '^State:.*Z' "/proc/$pid/status"
}

end() { # NAME SIGNAL : and waits until it is gone
    local pid
    pid=$(cat "$RUN/pids/$1" 2>/dev/null) || return 0
    kill "-$2" "$pid" 2>/dev/null || true
    wait_until 40 "$1 to end" eval "! running $1"
    rm -f "$RUN/pids/$1"
}

wait_until() { # SECONDS WHAT COMMAND…
    local deadline=$(($(now) + $1 * 1000000)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$(now)" -lt "$deadline" ] || fail "waited in vain for $what"
        sleep 0.05
    done
}

# A port nobody listens on. The kernel would choose one too, but a server that is killed must come back at its own.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        case " ${PORTS_TAKEN:-} " in *" $port "*) continue ;; esac
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    PORTS_TAKEN+=" $port"
    PORT=$port
}

# Whether a process belongs to a run of the demo: its program, or what it was started with, lies in the run's folder.
belongs_to() { # FOLDER PID
    [[ $2 =~ ^[0-9]+$ ]] && [ -d "/proc/$2" ] || return 1
    [[ $(readlink "/proc/$2/exe") == "$1"/* ]] || tr '\0' '\n' <"/proc/$2/cmdline" | grep -qF "$1"
}

# Ends whatever a run of the demo left behind and removes its folder.
clear_run() { # FOLDER
    local folder=$1 file pid signal deadline
    for file in "$folder"/*/pg/data/postmaster.pid "$folder"/pids/*; do
        [ -f "$file" ] || continue
        pid=$(head -n 1 "$file")
        belongs_to "$folder" "$pid" 2>/dev/null || continue
        signal=TERM
        case $file in */postmaster.pid) signal=QUIT ;; esac
        kill "-$signal" "$pid" 2>/dev/null || continue
        deadline=$((SECONDS + 10))
        while kill -0 "$pid" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.05; done
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$folder"
}
