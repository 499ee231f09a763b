# shellcheck shell=bash
# The commands of the two archivers. Everything else in the demo is the same for both.
# URL is where the proxy of a machine listens; whose backups they are is said by org/host.

archive_settings() { # MACHINE
    printf '%s\n' 'wal_level = replica' 'archive_mode = on' 'archive_timeout = 60'
    case $ARCHIVER in
        walg)
            printf '%s\n' "archive_command = 'kheeper walg wal-push %p'" "restore_command = 'kheeper walg wal-fetch %f %p'"
            ;;
        barman)
            printf '%s\n' "archive_command = 'kheeper exec -- barman-cloud-wal-archive --endpoint-url ${ENDPOINT[$1]} s3://myorg/$1 main %p'" \
                "$(barman_restore_command "${ENDPOINT[$1]}" "$1")"
            ;;
    esac
}

barman_restore_command() { # ENDPOINT HOST
    printf '%s' "restore_command = 'kheeper exec --recovery barman -- barman-cloud-wal-restore --endpoint-url $1 s3://myorg/$2 main %f %p'"
}

push_base_backup() { # MACHINE
    case $ARCHIVER in
        walg) SHOW=1 on "$(dba "$1")" kheeper walg backup-push "$RUN/$1/data" ;;
        barman) SHOW=1 on "$(dba "$1")" kheeper exec -- barman-cloud-backup --endpoint-url "${ENDPOINT[$1]}" --immediate-checkpoint "s3://myorg/$1" main ;;
    esac
}

list_base_backups() { # MACHINE
    case $ARCHIVER in
        walg) on "$(dba "$1")" kheeper walg backup-list ;;
        barman) on "$(dba "$1")" kheeper exec -- barman-cloud-backup-list --endpoint-url "${ENDPOINT[$1]}" "s3://myorg/$1" main ;;
    esac
}

keep_newest_two() { # MACHINE
    case $ARCHIVER in
        walg) SHOW=2 on "$(dba "$1")" kheeper walg delete retain FULL 2 --confirm ;;
        barman) SHOW=2 on "$(dba "$1")" kheeper exec -- barman-cloud-backup-delete --endpoint-url "${ENDPOINT[$1]}" --retention-policy 'REDUNDANCY 2' "s3://myorg/$1" main ;;
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
    enter "$(dba "$1")" kheeper exec -- barman-cloud-backup-list --endpoint-url "${ENDPOINT[$1]}" "s3://myorg/$2" main 2>/dev/null |
        grep -oE '^[0-9]{8}T[0-9]{6}' | sort
}

fetch_base_backup() { # MACHINE
    case $ARCHIVER in
        walg) SHOW=1 on "$(dba "$1")" kheeper walg backup-fetch "$RUN/$1/data" LATEST ;;
        barman)
            local id
            id=$(newest_barman_backups "$1" "$1" | tail -n 1)
            SHOW=1 on "$(dba "$1")" kheeper exec -- barman-cloud-restore --endpoint-url "${ENDPOINT[$1]}" "s3://myorg/$1" main "$id" "$RUN/$1/data"
            ;;
    esac
    on "$(dba "$1")" chmod 0700 "$RUN/$1/data"
    on "$(dba "$1")" touch "$RUN/$1/data/recovery.signal"
}

# The owner, on a workstation, reads another machine's backups through a proxy of its own.
fetch_base_backup_as_owner() { # HOST
    case $ARCHIVER in
        walg) SHOW=1 on alice kheeper walg --host "myorg/$1" backup-fetch "$RUN/alice/data" LATEST ;;
        barman)
            local id
            id=$(newest_barman_backups alice "$1" | tail -n 1)
            SHOW=1 on alice kheeper exec --host "myorg/$1" -- barman-cloud-restore --endpoint-url "${ENDPOINT[alice]}" "s3://myorg/$1" main "$id" "$RUN/alice/data"
            ;;
    esac
    on alice chmod 0700 "$RUN/alice/data"
    on alice touch "$RUN/alice/data/recovery.signal"
}

owner_restore_command() { # HOST
    case $ARCHIVER in
        walg) printf '%s' "restore_command = 'kheeper walg --host myorg/$1 wal-fetch %f %p'" ;;
        barman) barman_restore_command "${ENDPOINT[alice]}" "$1" ;;
    esac
}
