{#- Translates the rows of one encoder's table into another encoder's space, and says how good that is.

    The two tables share a key. Rows that satisfy `anchors` are the parallel anchors: the translator is fitted on them.
    All source rows are translated; the rows that are no anchors are what quality is measured on.

    babelake run pipelines/translate.sql --set source=fr.parquet --set target=en.parquet --set anchors="split = 'train'"
-#}
{% set source = source | default('sample_data/digits_mlp_a.parquet') %}
{% set target = target | default('sample_data/digits_mlp_b.parquet') %}
{% set source_name = source_name | default((source | split('/') | list | last) | replace('.parquet', '')) %}
{% set target_name = target_name | default((target | split('/') | list | last) | replace('.parquet', '')) %}
{% set key = key | default('id') %}
{% set column = column | default('embedding') %}
{% set anchors = anchors | default("split = 'train'") %}
{% set method = method | default('parseval') %}
{% set out = out | default('translated') %}

CREATE EXTERNAL TABLE source STORED AS PARQUET LOCATION {{ source | quote }};
CREATE EXTERNAL TABLE target STORED AS PARQUET LOCATION {{ target | quote }};

-- Parallel anchors: the rows embedded by both encoders.
CREATE TABLE anchors AS
SELECT s.{{ key | ident }} AS key, s.{{ column | ident }} AS source, t.{{ column | ident }} AS target
FROM (SELECT * FROM source WHERE {{ anchors }}) s
JOIN target t ON s.{{ key | ident }} = t.{{ key | ident }};

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
SELECT s.{{ key | ident }} AS key, s.{{ column | ident }} AS translated, t.{{ column | ident }} AS native
FROM {{ (out ~ '/embeddings/') | quote }} s
JOIN target t ON s.{{ key | ident }} = t.{{ key | ident }}
WHERE s.{{ key | ident }} NOT IN (SELECT key FROM anchors)
  AND s.{{ column | ident }} IS NOT NULL AND t.{{ column | ident }} IS NOT NULL;

-- Plain cosine flatters where vectors share a large mean: predicting that mean for every row is the baseline to beat.
CREATE TABLE center AS SELECT emb_mean(target) AS mean FROM anchors;

CREATE TABLE answers AS
SELECT 'translated' AS vectors, key, translated AS answer, native FROM pairs
UNION ALL
SELECT 'mean only', key, mean, native FROM pairs CROSS JOIN center;

-- A row's rank: how many native rows are at least as near to its answer as its own twin is. Ties count against it.
CREATE TABLE ranks AS
SELECT q.vectors, q.key, count(*) AS rank
FROM (SELECT vectors, key, answer, emb_cosine(answer, native) AS own FROM answers) q
JOIN pairs d ON emb_cosine(q.answer, d.native) >= q.own
GROUP BY q.vectors, q.key;

-- An answer that is the mean has no direction once the mean is taken from it: its centred cosine counts 0.
CREATE TABLE metrics AS
SELECT a.vectors, count(*) AS rows, avg(emb_cosine(answer, native)) AS cosine,
       avg(coalesce(emb_cosine(emb_center(answer, mean), emb_center(native, mean)), 0.0)) AS centred_cosine,
       avg(CASE WHEN rank = 1 THEN 1.0 ELSE 0.0 END) AS p_at_1, avg(1.0 / rank) AS mrr, (SELECT count(*) FROM pairs) AS pool
FROM answers a JOIN ranks r ON a.vectors = r.vectors AND a.key = r.key CROSS JOIN center
GROUP BY a.vectors;

COPY (SELECT * FROM metrics ORDER BY cosine DESC) TO {{ (out ~ '/metrics.parquet') | quote }} STORED AS PARQUET OPTIONS (mode 'overwrite');

SELECT vectors, rows, round(cosine, 3) AS cosine, round(centred_cosine, 3) AS "centred cosine", round(p_at_1, 3) AS "P@1",
       round(mrr, 3) AS "MRR", pool
FROM {{ (out ~ '/metrics.parquet') | quote }};
