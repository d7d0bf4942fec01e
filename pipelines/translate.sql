{#- Translates the rows of one encoder's table into another encoder's space, and says how good that is.

    The two tables share a key. Rows that satisfy `anchors` are the parallel anchors: the translator is fitted on them.
    All source rows are translated; the rows that are no anchors are what quality is measured on.

    babelake run pipelines/translate.sql --set source=fr.parquet --set target=en.parquet --set anchors="split = 'train'"
-#}
{% set source = source | default('sample_data/digits_rff.parquet') %}
{% set target = target | default('sample_data/digits_mlp_a.parquet') %}
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
SELECT emb_fit(key, source, target, {method: {{ method | quote }}, source_encoder: {{ source | quote }}, target_encoder: {{ target | quote }}}) AS t
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

-- The target's mean, which plain cosine is flattered by: predicting it for every row is the baseline.
CREATE TABLE center AS SELECT emb_mean(target) AS mean FROM anchors;

-- A row's rank: how many native rows are at least as near to its translation as its own twin is. Ties count against it.
CREATE TABLE ranks AS
SELECT q.key, count(*) AS rank
FROM (SELECT key, translated, emb_cosine(translated, native) AS own FROM pairs) q
JOIN pairs d ON emb_cosine(q.translated, d.native) >= q.own
GROUP BY q.key;

CREATE TABLE metrics AS
SELECT 'translated' AS vectors, count(*) AS rows,
       avg(emb_cosine(translated, native)) AS cosine,
       avg(emb_cosine(emb_center(translated, (SELECT mean FROM center)), emb_center(native, (SELECT mean FROM center)))) AS centred_cosine,
       (SELECT avg(CASE WHEN rank = 1 THEN 1.0 ELSE 0.0 END) FROM ranks) AS p_at_1,
       (SELECT avg(1.0 / rank) FROM ranks) AS mrr,
       (SELECT count(*) FROM pairs) AS pool
FROM pairs
UNION ALL
SELECT 'mean only', count(*), avg(emb_cosine((SELECT mean FROM center), native)), 0.0, 1.0 / count(*), NULL, count(*) FROM pairs;

COPY (SELECT * FROM metrics ORDER BY cosine DESC) TO {{ (out ~ '/metrics.parquet') | quote }} STORED AS PARQUET OPTIONS (mode 'overwrite');

SELECT vectors, rows, round(cosine, 3) AS cosine, round(centred_cosine, 3) AS "centred cosine", round(p_at_1, 3) AS "P@1", round(mrr, 3) AS "MRR", pool
FROM {{ (out ~ '/metrics.parquet') | quote }};
