#!/usr/bin/env bash
# Five nights of a job over a lake on S3, as a shell session. Not part of the tests: it installs a server (moto).
#
#   tests/nightly.sh [BINARY]
#
# Day 1 translates everything, day 2 finds two new files and a changed one, day 3 nothing, day 4 a compaction; on day 5 there
# is a new translator, and the way back. Needs python3 with venv, and the network to install with.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
if [ $# -gt 0 ]; then
    binary=$(realpath "$1")
else
    cargo build --quiet
    binary=$root/target/debug/babelake
fi
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir bin
ln -s "$binary" bin/babelake
python3 -m venv venv
venv/bin/pip install --quiet 'moto[server,s3]' awscli
ln -s ../venv/bin/aws bin/aws
PATH=$work/bin:$PATH

port=$(venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
venv/bin/moto_server -H 127.0.0.1 -p "$port" >moto.log 2>&1 &
server=$!
export AWS_ENDPOINT=http://127.0.0.1:$port AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_ALLOW_HTTP=true
export AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
timeout 60 bash -c "until aws s3 mb s3://lake >/dev/null 2>&1; do sleep 0.3; done"

# A command, with what it prints and its exit code where that is not 0.
show() {
    echo "\$ $*"
    local code=0
    "$@" 2>&1 | sed 's/\r//g' || code=${PIPESTATUS[0]}
    [ "$code" = 0 ] || echo "(exit $code)"
}
day() { printf '\n# %s\n' "$*"; }
# Rows of the sample whose key has this remainder, as a file of the lake.
write() {
    babelake sql -c "SET datafusion.execution.target_partitions = 1;
        COPY (SELECT * FROM '$root/sample_data/digits_mlp_a.parquet' WHERE id % 10 = $1 $3 ORDER BY id) TO 's3://lake/fr/$2.parquet'
        OPTIONS (mode 'overwrite')" >/dev/null
}
count() { show babelake sql --format csv -c "SELECT count(*) AS rows, count(DISTINCT id) AS ids FROM 's3://lake/fr_as_en/$1/'"; }
nightly() {
    show babelake translate s3://lake/fr/ --to "s3://lake/fr_as_en/$1/" --translator "s3://lake/translators/$1.parquet" "${@:2}"
}
fit() {
    babelake fit --source "$root/sample_data/digits_mlp_a.parquet" --target "$root/sample_data/digits_mlp_b.parquet" --key id \
        "${@:2}" -o "s3://lake/translators/$1.parquet" >/dev/null
}
version() { aws s3 cp s3://lake/fr_as_en/current -; }

fit v1
for part in 0 1 2 3 4 5; do write "$part" "part-$part" ""; done

day "Day 1: everything"
nightly v1 --dry-run
nightly v1
echo v1 | aws s3 cp - s3://lake/fr_as_en/current >/dev/null
count v1

day "Day 2: two new files and a changed one"
write 6 part-6 ""
write 7 part-7 ""
write 3 part-3 "AND id > 100"
nightly v1
count v1

day "Day 3: nothing"
nightly v1

day "Day 4: the lake's small files have been compacted into one"
babelake sql -c "SET datafusion.execution.target_partitions = 1;
    COPY (SELECT * FROM 's3://lake/fr/' ORDER BY id) TO 's3://lake/fr/compacted.parquet'" >/dev/null
aws s3 rm s3://lake/fr/ --recursive --exclude compacted.parquet >/dev/null
nightly v1
count v1
nightly v1 --delete-orphans
nightly v1 --delete-orphans --yes
count v1

day "Day 5: a new translator beside the old one, the switch, and the way back"
fit v2 --method irp
nightly v2
show babelake translate s3://lake/fr/ --to s3://lake/fr_as_en/v1/ --translator s3://lake/translators/v2.parquet
echo v2 | aws s3 cp - s3://lake/fr_as_en/current >/dev/null
count "$(version)"
echo v1 | aws s3 cp - s3://lake/fr_as_en/current >/dev/null
count "$(version)"
nightly v1
