# shellcheck shell=bash
# The story: a store, an owner, two hosts; a database that is backed up, pruned, lost, and restored twice.

start_server() {
    spawn server server kheeper-server serve --data "$RUN/server/store" --listen "127.0.0.1:$SERVER_PORT"
    wait_until 30 'the server to be ready' answers_or_died server server "$ORIGIN"
}

answers_or_died() { # NAME WHO URL : asked by WHO, because a person's proxy serves that person only
    running "$1" || fail "$1 ended"
    enter "$2" curl -fsS "$3/-/readyz"
}

# Without TLS, because everything stays on this machine.
make_store_and_owner() {
    chapter 'A store, an owner, an org'
    note "\$D is $RUN, and every prompt names the machine it belongs to: server, alice (the owner's workstation), web-01, web-02."
    start_server
    on server kheeper-server users create alice --data "$RUN/server/store"
    local user_id token
    user_id=$(grep -oE 'usr_[A-Za-z0-9]+' "$RUN/said" | head -n 1)
    spawn login alice kheeper auth login "$user_id" --origin "$ORIGIN" --context alice
    wait_until 20 'the registration token' grep -qoE 'eyJ[A-Za-z0-9_.-]+' "$RUN/log/login.log"
    token=$(grep -oE 'eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+' "$RUN/log/login.log" | head -n 1)
    on server kheeper-server keys register "$token" --yes --data "$RUN/server/store"
    wait_until 30 'alice to be logged in' eval '! running login'
    rm -f "$RUN/pids/login"
    on alice kheeper contexts set alice
    on alice kheeper orgs create myorg
}

join_host() { # HOST PORT
    local host=$1 token
    on alice kheeper hosts create "myorg/$host"
    token=$(grep -oE 'kjt1\.[A-Za-z0-9_-]+' "$RUN/said" | head -n 1)
    [ -n "$token" ] || fail "no join token for $host"
    # On standard input: what is on a command line, every user of a machine can read.
    on "$host" kheeper hosts join - <<<"$token"
    local allow=()
    [ "$(id -u)" != 0 ] || allow=(--allow-user root --allow-user postgres)
    spawn "proxy-$host" "$host" kheeper object-proxy --listen "${ENDPOINT[$host]#http://}" ${allow[@]+"${allow[@]}"}
    wait_until 20 "the proxy of $host" answers_or_died "proxy-$host" "$host" "${ENDPOINT[$host]}"
}

make_hosts() {
    chapter 'Two hosts, each with a key of its own and no storage credential'
    join_host web-01
    join_host web-02
    on web-01 kheeper hosts me --env --endpoint "${ENDPOINT[web-01]}"
}

back_up() {
    chapter 'PostgreSQL on web-01, archiving as it goes'
    make_cluster web-01
    local settings
    mapfile -t settings < <(private_settings web-01; archive_settings web-01)
    configure web-01 "${settings[@]}"
    start_postgres web-01
    wait_until 30 'PostgreSQL on web-01' answers web-01
    local statement='create table visit (id bigserial primary key, page text not null, at timestamptz not null default now())'
    typed postgres@web-01 psql -c "$statement"
    sql web-01 "$statement"

    local begun number
    begun=$(now)
    for number in 1 2 3; do
        add_rows web-01 20000 "before base backup $number"
        push_base_backup web-01
    done
    row 'base backups pushed' "3, of a database of $(sql web-01 "select pg_size_pretty(pg_database_size('postgres'))")" "$(seconds_since "$begun")"
    list_base_backups web-01

    chapter 'Pruned to the two newest base backups and the WAL they need'
    begun=$(now)
    keep_newest_two web-01
    local kept
    kept=$(count_base_backups web-01)
    [ "$kept" = 2 ] || fail "$kept base backups are left, not 2"
    row 'pruned' "to $kept base backups and the WAL since the older one" "$(seconds_since "$begun")"
    on alice kheeper hosts list
}

restore_here() {
    chapter 'web-01 loses its database, and restores it'
    add_rows web-01 5000 'after the last base backup: only in WAL'
    note 'A committed row is safe once its WAL segment is archived: archive_timeout=60 bounds that to a minute. Here the segment is ended by hand instead.'
    archive_everything web-01
    EXPECTED=$(rows web-01)
    note "Committed: ${EXPECTED% *} rows, checksum ${EXPECTED#* }"
    lose_the_database web-01

    local begun
    begun=$(now)
    fetch_base_backup web-01 web-01
    start_postgres web-01
    wait_until 180 'recovery on web-01' open_for_writing web-01
    check_rows 'restored on web-01' web-01 "$begun"
    on postgres@web-01 psql -Atc "select 'in recovery: ' || pg_is_in_recovery() || ', timeline ' || timeline_id from pg_control_checkpoint()"
}

check_rows() { # WHAT MACHINE BEGUN
    local found
    found=$(rows "$2")
    note "Found: ${found% *} rows, checksum ${found#* }"
    [ "$found" = "$EXPECTED" ] || fail "$1: expected $EXPECTED, found $found"
    row "$1" "${found% *} of ${EXPECTED% *} rows, same checksum" "$(seconds_since "$3")"
}

restore_elsewhere() {
    chapter 'web-02 takes over, with the owner in between'
    note "web-02 cannot read web-01's backups, and shall not. Their owner can: alice fetches and replays them on her workstation, through a proxy that only reads, and hands web-02 a finished database. The base backup alone could not be started there, for its WAL is in web-01's prefix."
    local begun settings
    begun=$(now)
    spawn proxy-alice alice kheeper object-proxy --context alice --listen "${ENDPOINT[alice]#http://}" --only myorg/web-01
    wait_until 20 "alice's proxy" answers_or_died proxy-alice alice "${ENDPOINT[alice]}"
    fetch_base_backup alice web-01
    mapfile -t settings < <(private_settings alice; printf '%s\n' 'archive_mode = off' "$(owner_restore_command web-01)")
    configure alice "${settings[@]}"
    start_postgres alice
    wait_until 180 "recovery on alice's workstation" open_for_writing alice
    stop_postgres alice fast
    end proxy-alice TERM

    # Root copies; on two real machines this is rsync over ssh.
    on web-02 rsync -a --delete "$RUN/alice/pg/data/" "$RUN/web-02/pg/data/"
    on web-02 chown -R "$OWNER" "$RUN/web-02/pg/data"
    on web-02 chmod 0700 "$RUN/web-02/pg/data"
    mapfile -t settings < <(private_settings web-02; archive_settings web-02; echo 'archive_mode = off')
    configure web-02 "${settings[@]}"
    start_postgres web-02
    wait_until 60 'PostgreSQL on web-02' open_for_writing web-02
    check_rows 'restored on web-02, by the owner' web-02 "$begun"

    note "Its own archive begins with a base backup, under its own name."
    configure web-02 'archive_mode = on'
    stop_postgres web-02 fast
    start_postgres web-02
    wait_until 30 'PostgreSQL on web-02' answers web-02
    push_base_backup web-02
}

refuse_web_02() {
    chapter "web-02 asks for web-01's data"
    local key said
    key=$(enter web-01 curl -sS --aws-sigv4 aws:amz:us-east-1:s3 --user dummy:dummy "${ENDPOINT[web-01]}/myorg?list-type=2&prefix=web-01/&max-keys=1" | grep -oE '<Key>[^<]+' | cut -c 6-)
    [ -n "$key" ] || fail 'web-01 has no object to ask for'
    local ask=(curl -sS --aws-sigv4 aws:amz:us-east-1:s3 --user dummy:dummy -w '\nHTTP %{http_code}\n')
    on web-02 "${ask[@]}" "${ENDPOINT[web-02]}/myorg/$key"
    said=$(cat "$RUN/said")
    [[ $said == *'<Code>AccessDenied</Code>'*'HTTP 403'* ]] || fail "web-02 was not refused: $said"
    on web-02 "${ask[@]}" "${ENDPOINT[web-02]}/myorg?list-type=2&prefix=web-01/"
    grep -q 'HTTP 403' "$RUN/said" || fail 'web-02 was not refused the list'
    on web-02 "${ask[@]}" -X DELETE "${ENDPOINT[web-02]}/myorg/$key"
    grep -q 'HTTP 403' "$RUN/said" || fail 'web-02 was not refused the delete'
    row "web-02 reads, lists, deletes web-01's data" '403 AccessDenied, each of the three' '-'
}

show_usage() {
    chapter 'What it all came to'
    on alice kheeper hosts list
    on alice kheeper usage --org myorg
    note 'Stored bytes are counted with each object and are exact. Traffic and requests are written every ten seconds: the two kills cost at most twenty seconds of their count.'
    on server kheeper-server fsck --read-data --data "$RUN/server/store"
    local host record
    for host in web-01 web-02; do
        record=$(enter alice kheeper hosts get "myorg/$host" --json)
        row "pushed by $host" "$(field objects "$record") objects, $(size "$(field current_bytes "$record")"), and $(size "$(field hidden_bytes "$record")") deleted but kept" '-'
    done
}

field() { # NAME JSON : a number, wherever it stands
    grep -oE "\"$1\": *[0-9]+" <<<"$2" | grep -oE '[0-9]+$' | head -n 1
}
