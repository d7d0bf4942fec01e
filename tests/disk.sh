#!/usr/bin/env bash
# What the jobs do on a disk that is full, read-only or not theirs. Not part of the tests: it mounts small disks, as root.
#
#   tests/disk.sh [BINARY]
#
# Every job must end with exit code 1 and name what it could not write; what was there must be there, byte for byte, and
# nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -gt 0 ]; then
    babelake=$(realpath "$1")
else
    cargo build --quiet
    babelake=$PWD/target/debug/babelake
fi
sample=$PWD/sample_data
work=$(mktemp -d)
chmod 755 "$work"
trap 'umount "$work"/{full,frozen} 2>/dev/null || true; rm -rf "$work"' EXIT
cp "$babelake" "$work/babelake"
cd "$work"
babelake=$work/babelake

one=$sample/digits_mlp_a.parquet
"$babelake" fit --source "$one" --target "$sample/digits_mlp_b.parquet" --key id -o t.parquet >/dev/null
mkdir in full frozen theirs
"$babelake" sql -c "COPY (SELECT d.id, k.value AS k, d.embedding FROM '$one' d CROSS JOIN generate_series(1, 1) k) TO 'in/one.parquet'"
"$babelake" sql -c "SET datafusion.execution.target_partitions = 1;
    COPY (SELECT d.id, k.value AS k, d.embedding FROM '$one' d CROSS JOIN generate_series(1, 20) k) TO 'in/two.parquet'
    STORED AS PARQUET OPTIONS (compression 'uncompressed')"
mount -t tmpfs -o size=4m tmpfs full
mount -t tmpfs -o size=64m tmpfs frozen
chmod 755 theirs
echo old > old.parquet

# Runs a command as `user`, and says how it ended.
check() {
    local folder=$1 user=$2 what=$3
    shift 3
    local before after code=0
    before=$(cd "$folder" && find . -type f | sort | xargs -r sha256sum)
    setpriv --reuid "$user" --clear-groups "$@" >/dev/null 2>err || code=$?
    after=$(cd "$folder" && find . -type f | sort | xargs -r sha256sum)
    # A translated file is whole, and stays.
    after=$(grep -v -e one.parquet -e _babelake <<<"$after" || true)
    echo "$what: exit $code: $(grep -m1 -e '^error' -e '^  ' err || cat err)"
    [ "$code" = 1 ]
    if [ "$before" != "$after" ]; then
        printf 'before:\n%s\nafter:\n%s\n' "$before" "$after"
        exit 1
    fi
}

jobs() {
    local folder=$1 user=$2 what=$3
    check "$folder" "$user" "translate, $what" "$babelake" translate in --to "$folder/out" --translator t.parquet
    find "$folder/out" -name '*.parquet' -exec "$babelake" sql -c "SELECT count(*) FROM '{}'" \; >/dev/null 2>&1 || [ ! -e "$folder/out" ]
    rm -rf "$folder/out" 2>/dev/null || true
    check "$folder" "$user" "COPY, $what" "$babelake" sql -c \
        "COPY (SELECT d.* FROM 'in/' d CROSS JOIN generate_series(1, 4)) TO '$folder/old.parquet' OPTIONS (mode 'overwrite', compression 'uncompressed')"
    check "$folder" "$user" "COPY to a folder, $what" "$babelake" sql -c \
        "COPY (SELECT d.*, id % 3 AS p FROM 'in/' d CROSS JOIN generate_series(1, 4)) TO '$folder/parts/' STORED AS PARQUET
         PARTITIONED BY (p) OPTIONS (compression 'uncompressed')"
}

cp old.parquet full
cp old.parquet frozen
cp old.parquet theirs
jobs full 0 "full disk"
# So full that not even the first bytes of a file fit.
dd if=/dev/zero of=full/filler bs=4k 2>/dev/null || true
check full 0 "fit, full disk" "$babelake" fit --source "$one" --target "$sample/digits_mlp_b.parquet" --key id -o full/t.parquet
jobs full 0 "full disk without a byte"
mount -o remount,ro frozen
jobs frozen 0 "read-only"
jobs theirs 65534 "permission denied"
echo "all done"
