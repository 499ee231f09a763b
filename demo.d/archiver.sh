# shellcheck shell=bash
# The commands of the two archivers. Everything else in the demo is the same for both.
# URL is where the proxy of a machine listens; whose backups they are is said by org/host.

# Barman through `kheeper exec`, for the machine's own backups or, on the owner's, for a host's.
barman() { # MACHINE HOST COMMAND OPTION… : sets BARMAN to the words
    local whose=()
    [ "$1" = "$2" ] || whose=(--host "myorg/$2")
    BARMAN=(kheeper exec ${whose[@]+"${whose[@]}"} -- "barman-cloud-$3" --endpoint-url "${ENDPOINT[$1]}" "${@:4}" "s3://myorg/$2" main)
}

archive_settings() { # MACHINE
    printf '%s\n' 'wal_level = replica' 'archive_mode = on' 'archive_timeout = 60'
    case $ARCHIVER in
        walg)
            printf '%s\n' "archive_command = 'kheeper walg wal-push %p'" "restore_command = 'kheeper walg wal-fetch %f %p'"
            ;;
        barman)
            barman "$1" "$1" wal-archive
            # PostgreSQL tries again for ever, so barman need not: two attempts, and the log has the reason.
            printf '%s\n' "archive_command = 'AWS_MAX_ATTEMPTS=2 ${BARMAN[*]} %p'" \
                "$(barman_restore_command "$1" "$1")"
            ;;
    esac
}

barman_restore_command() { # MACHINE HOST
    barman "$1" "$2" wal-restore
    printf '%s' "restore_command = 'kheeper exec --recovery barman ${BARMAN[*]:2} %f %p'"
}

push_base_backup() { # MACHINE
    case $ARCHIVER in
        walg) SHOW=1 on "$(dba "$1")" kheeper walg backup-push "$RUN/$1/pg/data" ;;
        barman) barman "$1" "$1" backup --immediate-checkpoint && SHOW=1 on "$(dba "$1")" "${BARMAN[@]}" ;;
    esac
}

list_base_backups() { # MACHINE
    case $ARCHIVER in
        walg) on "$(dba "$1")" kheeper walg backup-list ;;
        barman) barman "$1" "$1" backup-list && on "$(dba "$1")" "${BARMAN[@]}" ;;
    esac
}

keep_newest_two() { # MACHINE
    case $ARCHIVER in
        walg) SHOW=2 on "$(dba "$1")" kheeper walg delete retain FULL 2 --confirm ;;
        barman) barman "$1" "$1" backup-delete --retention-policy 'REDUNDANCY 2' && SHOW=2 on "$(dba "$1")" "${BARMAN[@]}" ;;
    esac
}

count_base_backups() { # MACHINE
    case $ARCHIVER in
        walg) enter "$(dba "$1")" kheeper walg backup-list 2>/dev/null | grep -c '^base_' ;;
        barman) newest_barman_backups "$1" "$1" | wc -l ;;
    esac
}

# Ids, the newest last.
newest_barman_backups() { # MACHINE HOST
    barman "$1" "$2" backup-list
    enter "$(dba "$1")" "${BARMAN[@]}" 2>/dev/null | grep -oE '^[0-9]{8}T[0-9]{6}' | sort
}

# Of the machine itself, or, by the owner on a workstation with a proxy of its own, of a host.
fetch_base_backup() { # MACHINE HOST
    local whose=() id
    case $ARCHIVER in
        walg)
            [ "$1" = "$2" ] || whose=(--host "myorg/$2")
            SHOW=1 on "$(dba "$1")" kheeper walg ${whose[@]+"${whose[@]}"} backup-fetch "$RUN/$1/pg/data" LATEST
            ;;
        barman)
            id=$(newest_barman_backups "$1" "$2" | tail -n 1)
            [ -n "$id" ] || fail "no base backup of $2 to restore"
            barman "$1" "$2" restore
            SHOW=1 on "$(dba "$1")" "${BARMAN[@]}" "$id" "$RUN/$1/pg/data"
            ;;
    esac
    on "$(dba "$1")" chmod 0700 "$RUN/$1/pg/data"
    on "$(dba "$1")" touch "$RUN/$1/pg/data/recovery.signal"
}

owner_restore_command() { # HOST
    case $ARCHIVER in
        walg) printf '%s' "restore_command = 'kheeper walg --host myorg/$1 wal-fetch %f %p'" ;;
        barman) barman_restore_command alice "$1" ;;
    esac
}
