#!/usr/bin/env bash
# Runs the commands against two other servers: moto (S3) and azurite (Azure). Not part of the tests: it installs both.
#
#   tests/stores.sh [BINARY]
#
# Needs python3 with venv, npm, and the network to install with. Everything is in a folder that is removed at the end;
# the servers listen on free ports of 127.0.0.1.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
if [ $# -gt 0 ]; then
    babelake=$(realpath "$1")
else
    cargo build --release --quiet
    babelake=$root/target/release/babelake
fi
work=$(mktemp -d)
servers=()
trap 'for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$work"' EXIT
cd "$work"

echo "installing moto and azurite"
python3 -m venv venv
venv/bin/pip install --quiet 'moto[server,s3]' boto3 azure-storage-blob
npm install --silent --no-fund --no-audit azurite >/dev/null

port() { venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
moto=$(port)
azurite=$(port)
venv/bin/moto_server -H 127.0.0.1 -p "$moto" >moto.log 2>&1 &
servers+=($!)
node_modules/.bin/azurite-blob --skipApiVersionCheck --disableTelemetry --silent --inMemoryPersistence \
    --blobHost 127.0.0.1 --blobPort "$azurite" >azurite.log 2>&1 &
servers+=($!)

export AWS_ENDPOINT=http://127.0.0.1:$moto AWS_ALLOW_HTTP=true AWS_REGION=us-east-1
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_EC2_METADATA_DISABLED=true
# The account and the key of every azurite.
export AZURE_STORAGE_USE_EMULATOR=true AZURITE_BLOB_STORAGE_URL=http://127.0.0.1:$azurite
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1

cat >store.py <<'PYTHON'
"""store.py s3|az make | put FOLDER | get PREFIX FOLDER | uploads: with the providers' own clients.
store.py files same A B: whether two folders have the same Parquet files, but for the footers, which name the sources' versions."""
import os, pathlib, sys, time

kind, verb, *rest = sys.argv[1:]
if verb == "same":
    def bodies(folder):
        files = {file.relative_to(folder): file.read_bytes() for file in pathlib.Path(folder).rglob("*.parquet")}
        return {name: data[: len(data) - 8 - int.from_bytes(data[-8:-4], "little")] for name, data in files.items()}

    sys.exit(bodies(rest[0]) != bodies(rest[1]))
if kind == "s3":
    import boto3
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT"])
    make = lambda: client.create_bucket(Bucket="lake")
    put = lambda key, data: client.put_object(Bucket="lake", Key=key, Body=data)
    pages = lambda prefix: client.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=prefix)
    keys = lambda prefix: [found["Key"] for page in pages(prefix) for found in page.get("Contents", [])]
    get = lambda key: client.get_object(Bucket="lake", Key=key)["Body"].read()
    uploads = lambda: len(client.list_multipart_uploads(Bucket="lake").get("Uploads", []))
else:
    from azure.storage.blob import ContainerClient
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    url = os.environ["AZURITE_BLOB_STORAGE_URL"] + "/devstoreaccount1"
    client = ContainerClient(url, "lake", credential={"account_name": "devstoreaccount1", "account_key": key})
    make = lambda: client.create_container()
    put = lambda key, data: client.upload_blob(key, data)
    keys = lambda prefix: [blob.name for blob in client.list_blobs(name_starts_with=prefix)]
    get = lambda key: client.download_blob(key).readall()
    uploads = lambda: "not listed"

if verb == "make":
    for attempt in range(100):
        try:
            make()
            break
        except Exception:
            if attempt == 99:
                raise
            time.sleep(0.3)
elif verb == "put":
    for file in pathlib.Path(rest[0]).rglob("*.parquet"):
        put(str(file), file.read_bytes())
elif verb == "get":
    for key in keys(rest[0]):
        file = pathlib.Path(rest[1]) / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(get(key))
else:
    print(uploads())
PYTHON
store() { venv/bin/python store.py "$@"; }

echo "making a lake of 1,100 small files and one of several parts"
"$babelake" fit --source "$root/sample_data/digits_mlp_a.parquet" --target "$root/sample_data/digits_mlp_b.parquet" \
    --key id -o t.parquet >/dev/null
one=$root/sample_data/digits_mlp_a.parquet
# Not compressed: the repeated rows would leave nothing.
"$babelake" sql -c "SET datafusion.execution.target_partitions = 1;
    COPY (SELECT d.id, k.value AS k, d.embedding FROM '$one' d CROSS JOIN generate_series(1, 80) k) TO 'in/big.parquet'
    STORED AS PARQUET OPTIONS (compression 'uncompressed');
    COPY (SELECT d.id % 1100 AS part, d.id, d.embedding FROM '$one' d) TO 'parts/' STORED AS PARQUET PARTITIONED BY (part)"
mkdir -p in/small
find parts -name '*.parquet' | sort | awk '{ printf "%s in/small/%d.parquet\n", $0, NR }' |
    while read -r from to; do mv "$from" "$to"; done
"$babelake" translate in/ --to out/ --translator t.parquet 2>&1 | tail -1
copied="SET datafusion.execution.target_partitions = 1; COPY (SELECT id, embedding FROM 'FROM') TO 'TO'
    OPTIONS (compression 'uncompressed')"
copy() { "$babelake" sql -c "$(sed "s|'FROM'|'$1'|; s|'TO'|'$2'|" <<<"$copied")"; }
copy in/big.parquet copy.parquet
ls -l out/big.parquet copy.parquet | awk '{ print $5, $9 }'

for kind in s3 az; do
    url=$kind://lake
    echo "== $url"
    store $kind make
    store $kind put in
    "$babelake" sql -c "COPY (SELECT * FROM 't.parquet') TO '$url/t.parquet' STORED AS PARQUET"

    begin=$(date +%s%N)
    "$babelake" translate $url/in/ --to $url/out/ --translator t.parquet 2>&1 | tail -1
    took=$((($(date +%s%N) - begin) / 1000000))
    store $kind get out/ got
    store files same out got/out
    echo "translate: the same bytes as on the local disk, in $took ms"

    copy $url/in/big.parquet $url/copies/copy.parquet
    store $kind get copies/ got
    cmp copy.parquet got/copies/copy.parquet
    echo "COPY: the same bytes"
    if copy $url/in/big.parquet $url/copies/copy.parquet 2>err; then exit 1; fi
    echo "COPY to a taken name: $(cat err)"
    # One after the other, as moto looks for the object first and completes the upload then, without a lock.
    copy $url/in/big.parquet $url/race.parquet 2>err1 & first=$!
    sleep 1
    copy $url/in/big.parquet $url/race.parquet 2>err2 & second=$!
    won=0
    wait $first && won=$((won + 1))
    wait $second && won=$((won + 1))
    echo "two COPYs to one new name: $won published; $(cat err1 err2)"
    [ $won = 1 ]

    "$babelake" describe $url/t.parquet | head -3
    "$babelake" sql --format csv -c "SELECT count(*) AS rows, count(DISTINCT id) AS ids FROM '$url/out/'"

    for percent in 30 45 60 75 90; do
        "$babelake" translate $url/in/ --to $url/killed/ --translator t.parquet 2>/dev/null & job=$!
        sleep "$(venv/bin/python -c "print($took * $percent / 100000)")"
        kill -9 $job 2>/dev/null || true
        wait $job 2>/dev/null || true
        rm -rf got/killed && mkdir -p got/killed
        store $kind get killed/ got
        (cd got/killed && find . -name '*.parquet' | while read -r file; do cmp "$file" "$work/got/out/$file"; done)
        echo "killed after $percent %: $(find got/killed -name '*.parquet' | wc -l) objects, each whole; open uploads: $(store $kind uploads)"
    done
    "$babelake" translate $url/in/ --to $url/killed/ --translator t.parquet 2>&1 | tail -1
    store $kind get killed/ got
    diff -r -x _babelake got/out got/killed
    echo "after the kills: the same bytes"
done
echo "all done"
