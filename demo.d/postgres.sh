# shellcheck shell=bash
# A private PostgreSQL: its own folder, no port, a socket that only its user can reach.

# Who runs the database of a machine. On her workstation the owner does, as herself.
dba() { # MACHINE
    if [ "$1" = alice ]; then printf alice; else printf 'postgres@%s' "$1"; fi
}

sql() { # MACHINE STATEMENT : silently, the result on stdout
    enter "$(dba "$1")" psql -XqAt -v ON_ERROR_STOP=1 -c "$2"
}

# The settings that a person appends to postgresql.conf, shown as they are written.
configure() { # MACHINE LINE…
    local machine=$1
    shift
    note "Into postgresql.conf on $machine:"
    printf '%s\n' "$@" | sed "s|$RUN|\$D|g; s/^/     $DIM/; s/\$/$PLAIN/"
    printf '%s\n' "$@" | enter "$(dba "$machine")" tee -a "$RUN/$machine/pg/data/postgresql.conf" >/dev/null
}

make_cluster() { # MACHINE
    on "$(dba "$1")" initdb --auth-local=trust --auth-host=reject --username=postgres --encoding=UTF8 --locale=C.UTF-8 -D "$RUN/$1/pg/data" >"$RUN/initdb.said"
    head -n 1 "$RUN/initdb.said"
}

# A socket in a folder of its own and no TCP; syncing stays as it is, for the demo is about what survives.
private_settings() { # MACHINE
    printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$RUN/$1/pg/run'" "log_line_prefix = '%m '"
}

start_postgres() { # MACHINE
    typed "$(dba "$1")" pg_ctl start -D "$RUN/$1/pg/data"
    # Without -w: recovery may take as long as it takes, and may end in a stop.
    enter "$(dba "$1")" pg_ctl start -s -W -D "$RUN/$1/pg/data" -l "$RUN/$1/pg/run/postgresql.log" || fail "PostgreSQL on $1 did not start"
}

stop_postgres() { # MACHINE MODE
    on "$(dba "$1")" pg_ctl stop -s -t 60 -m "$2" -D "$RUN/$1/pg/data"
}

answers() { # MACHINE
    [ "$(sql "$1" 'select 1')" = 1 ]
}

open_for_writing() { # MACHINE : up, recovered and promoted
    [ "$(sql "$1" 'select pg_is_in_recovery()')" = f ]
}

stopped() { # MACHINE
    ! enter "$(dba "$1")" pg_ctl status -D "$RUN/$1/pg/data" >/dev/null 2>&1
}

add_rows() { # MACHINE COUNT WHY
    typed "$(dba "$1")" psql -c "insert into visit (page) select 'page ' || g from generate_series(1, $2) g  -- $3"
    sql "$1" "insert into visit (page) select 'page ' || g from generate_series(1, $2) g"
}

# How many rows there are, and one number over all of them.
rows() { # MACHINE
    sql "$1" "select count(*) || ' ' || md5(string_agg(id || ' ' || page || ' ' || at, ',' order by id)) from visit"
}

# Everything committed so far is in a finished segment, and every finished segment is archived.
archive_everything() { # MACHINE
    sql "$1" 'select pg_switch_wal()' >/dev/null
    wait_until 120 "$1's WAL to be archived" nothing_to_archive "$1"
}

nothing_to_archive() { # MACHINE
    ! compgen -G "$RUN/$1/pg/data/pg_wal/archive_status/*.ready" >/dev/null
}

postgres_log() { # MACHINE
    cat "$RUN/$1/pg/run/postgresql.log"
}

lose_the_database() { # MACHINE
    stop_postgres "$1" immediate
    on "$(dba "$1")" rm -rf "$RUN/$1/pg/data"
    : >"$RUN/$1/pg/run/postgresql.log"
}
