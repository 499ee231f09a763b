# shellcheck shell=bash
# The two proofs that matter: the store dies under load, and the store dies in the middle of a restore.

# Commits rows as fast as one client can, until the file `load` is gone; every so many rows it ends a WAL segment.
load() { # ROWS
    local committed=0
    while [ -e "$RUN/load" ]; do
        sql web-01 "insert into visit (page) select 'load ' || g from generate_series(1, 50) g" >/dev/null || return 1
        committed=$((committed + 50))
        echo "$committed" >"$RUN/committed.new" && mv "$RUN/committed.new" "$RUN/committed"
        if [ $((committed % $1)) = 0 ]; then sql web-01 'select pg_switch_wal()' >/dev/null; fi
    done
}

committed() { cat "$RUN/committed"; }

committed_more_than() { [ "$(committed)" -gt "$1" ]; }

kill_under_load() {
    chapter 'Proof: the server is killed under load'
    note 'web-01 commits rows all the while.'
    touch "$RUN/load"
    echo 0 >"$RUN/committed"
    local rows_per_segment=500
    [ "$ARCHIVER" = walg ] || rows_per_segment=2500 # barman-cloud takes a second for each
    load "$rows_per_segment" >>"$RUN/log/load.log" 2>&1 &
    local loader=$! begun before reason
    wait_until 60 'the load to get going' committed_more_than 1500
    wait_until 60 'a segment on its way' compgen -G "$RUN/web-01/pg/data/pg_wal/archive_status/*.ready"
    : >"$RUN/web-01/pg/run/postgresql.log"
    before=$(committed)
    typed server kill -KILL "$(cat "$RUN/pids/server")"
    begun=$(now)
    end server KILL
    wait_until 60 'the archiver to name the reason' eval 'postgres_log web-01 | grep -q "archive command failed"'
    reason=$(seconds_since "$begun")
    note "After $reason s PostgreSQL's log on web-01 says:"
    postgres_log web-01 | grep -B 3 -m 1 'archive command failed' | grep -v -e '^--' | cut -c 1-190 | sed "s/^/     $DIM/; s/\$/$PLAIN/"
    before=$(committed)
    wait_until 30 'PostgreSQL to go on without the store' committed_more_than $((before + 500))
    note "PostgreSQL goes on: $(committed) rows committed so far, $(committed_since "$before") of them since the line above."
    row 'server killed under load' 'PostgreSQL went on; the archiver said why' "$reason"

    begun=$(now)
    start_server
    rm -f "$RUN/load"
    wait "$loader" || fail 'a commit failed while the server was down'
    archive_everything web-01
    row 'server back' "archive caught up, $(committed) rows committed meanwhile" "$(seconds_since "$begun")"
    note "Whether anything was lost shows in the next chapter: it restores these rows from the archive."
}

committed_since() { echo $(($(committed) - $1)); }

# Enough WAL that the middle of its replay is easy to meet.
add_segments() { # COUNT
    local number
    note "$1 more segments of WAL on web-01, so that there is a middle to kill in."
    for ((number = 1; number <= $1; number++)); do
        sql web-01 "insert into visit (page) select 'segment $number' from generate_series(1, 100)" >/dev/null
        sql web-01 'select pg_switch_wal()' >/dev/null
    done
}

# Whether recovery has replayed that many segments by now; timeline histories do not count.
segments_restored() { # COUNT
    [ "$(postgres_log web-01 | grep -cE 'restored log file "[0-9A-F]{24}"')" -ge "$1" ]
}

kill_during_restore() {
    chapter 'Proof: the server is killed in the middle of a restore'
    case $ARCHIVER in
        walg) add_segments 40 ;; # wal-g fetches up to ten segments ahead
        barman) add_segments 8 ;;
    esac
    archive_everything web-01
    EXPECTED=$(rows web-01)
    note "Committed: ${EXPECTED% *} rows, checksum ${EXPECTED#* }"
    lose_the_database web-01
    fetch_base_backup web-01 web-01
    start_postgres web-01
    wait_until 120 'recovery to be under way' segments_restored 2
    typed server kill -KILL "$(cat "$RUN/pids/server")"
    local begun
    begun=$(now)
    end server KILL
    wait_until 120 'PostgreSQL to stop or to promote' eval 'stopped web-01 || open_for_writing web-01'
    stopped web-01 || fail 'PostgreSQL promoted itself on half of its WAL'
    if postgres_log web-01 | grep -q 'archive recovery complete'; then fail 'recovery was declared complete without all WAL'; fi
    note "PostgreSQL stopped after $(seconds_since "$begun") s and did not promote:"
    postgres_log web-01 | grep -E 'could not restore file|restored log file|database system is shut down' | tail -n 3 | cut -c 1-190 | sed "s/^/     $DIM/; s/\$/$PLAIN/"
    row 'server killed during a restore' "PostgreSQL stopped, did not promote" "$(seconds_since "$begun")"

    begun=$(now)
    start_server
    start_postgres web-01
    wait_until 180 'recovery on web-01' open_for_writing web-01
    check_rows 'restore finished, server back' web-01 "$begun"
}
