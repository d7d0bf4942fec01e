{#- Translates the rows of one encoder's table into another encoder's space, and says how good that is.

    The two tables share a key. Rows that satisfy `anchors`, up to `max_anchors` of them, are the parallel anchors: the
    translator is fitted on them. All source rows are translated; quality is measured on the rows that are no anchors, up to
    `pool` of them.

    babelake run pipelines/translate.sql --set source=fr.parquet --set target=en.parquet --set anchors="split = 'train'"
-#}
{% set source = source | default('sample_data/digits_mlp_a.parquet') %}
{% set target = target | default('sample_data/digits_mlp_b.parquet') %}
{% set source_name = source_name | default((source | split('/') | list | last) | replace('.parquet', '')) %}
{% set target_name = target_name | default((target | split('/') | list | last) | replace('.parquet', '')) %}
{% set key = key | default('id') %}
{% set column = column | default('embedding') %}
{% set anchors = anchors | default("split = 'train'") %}
{% set max_anchors = max_anchors | default('4096') %}
{% set pool = pool | default('3000') %}
{% set seed = seed | default('0') %}
{% set method = method | default('parseval') %}
{% set out = out | default('translated') %}

CREATE EXTERNAL TABLE source STORED AS PARQUET LOCATION {{ source | quote }};
CREATE EXTERNAL TABLE target STORED AS PARQUET LOCATION {{ target | quote }};

-- The rows embedded by both encoders, each with a number to draw by, which depends on the keys and the seed alone: steps
-- of the golden ratio (times 2^32) spread a draw evenly over the keys.
CREATE TABLE twins AS
SELECT s.key, may_be_anchor, (row_number() OVER (ORDER BY s.key) + {{ seed }}) * 2654435769 % 4294967296 AS draw
FROM (SELECT {{ key | ident }} AS key, ({{ anchors }}) AS may_be_anchor FROM source WHERE {{ column | ident }} IS NOT NULL) s
JOIN (SELECT {{ key | ident }} AS key FROM target WHERE {{ column | ident }} IS NOT NULL) t ON s.key = t.key;

CREATE TABLE anchors AS
SELECT a.key, s.{{ column | ident }} AS source, t.{{ column | ident }} AS target
FROM (SELECT key FROM twins WHERE may_be_anchor ORDER BY draw LIMIT {{ max_anchors }}) a
JOIN source s ON a.key = s.{{ key | ident }}
JOIN target t ON a.key = t.{{ key | ident }};

-- The translator is a value like any other: a struct in a table of one row, and a file.
CREATE TABLE fitted AS
SELECT emb_fit(key, source, target, {
           method: {{ method | quote }},
           source_encoder: {{ source_name | quote }},
           target_encoder: {{ target_name | quote }}
       }) AS t
FROM anchors;

COPY fitted TO {{ (out ~ '/translator.parquet') | quote }} STORED AS PARQUET OPTIONS (mode 'overwrite');

SELECT emb_describe(t) AS translator FROM fitted;

-- Every source row in the target's space; all other columns stay.
COPY (
    SELECT * EXCEPT ({{ column | ident }}), emb_translate({{ column | ident }}, (SELECT t FROM fitted)) AS {{ column | ident }}
    FROM source
) TO {{ (out ~ '/embeddings/') | quote }} STORED AS PARQUET OPTIONS (mode 'overwrite');

-- Quality, on rows the translator has not seen: the translation beside the target encoder's own embedding of the same row.
CREATE TABLE pairs AS
SELECT q.key, s.{{ column | ident }} AS translated, t.{{ column | ident }} AS native
FROM (SELECT key FROM twins WHERE key NOT IN (SELECT key FROM anchors) ORDER BY draw LIMIT {{ pool }}) q
JOIN {{ (out ~ '/embeddings/') | quote }} s ON q.key = s.{{ key | ident }}
JOIN target t ON q.key = t.{{ key | ident }};

-- Plain cosine flatters where vectors share a large mean: predicting that mean for every row is the baseline to beat.
CREATE TABLE center AS SELECT emb_mean(target) AS mean FROM anchors;

CREATE TABLE answers AS
SELECT 'translated' AS vectors, key, translated AS answer, native FROM pairs
UNION ALL
SELECT 'mean only', key, mean, native FROM pairs CROSS JOIN center;

-- A vector without a direction (the zero vector, or the mean once the mean is taken from it) has no cosine: it counts 0. Every
-- answer is searched among all native rows; ties count against it.
CREATE TABLE metrics AS
SELECT vectors, rows, cosine, centred_cosine, found['p_at_1'] AS p_at_1, found['mrr'] AS mrr, found['pool'] AS pool
FROM (
    SELECT vectors, count(*) AS rows, avg(coalesce(emb_cosine(answer, native), 0)) AS cosine,
           avg(coalesce(emb_cosine(emb_center(answer, mean), emb_center(native, mean)), 0)) AS centred_cosine,
           emb_retrieval(key, answer, native, {pool: {{ pool }}, seed: {{ seed }}}) AS found
    FROM answers CROSS JOIN center
    GROUP BY vectors
);

COPY (SELECT * FROM metrics ORDER BY cosine DESC) TO {{ (out ~ '/metrics.parquet') | quote }} STORED AS PARQUET OPTIONS (mode 'overwrite');

SELECT vectors, rows, round(cosine, 3) AS cosine, round(centred_cosine, 3) AS "centred cosine", round(p_at_1, 3) AS "P@1",
       round(mrr, 3) AS "MRR", pool
FROM {{ (out ~ '/metrics.parquet') | quote }};
