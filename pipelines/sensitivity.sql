{#- Figures 3 and 6 of the paper, from SQL: how inverse relative projection depends on omega and delta.

    For a pair of encoders and every setting: similarity of held-out rows, accuracy of the target's head on them, condition number and kept
    anchors. All settings are fitted and measured in one query over a grid. `babelake sweep` does the same for the pairs of a folder, and
    faster: what settings share is done once.

    babelake run pipelines/sensitivity.sql --set source=fr.parquet --set target=en.parquet --set omegas=1,8,16
-#}
{% set source = source | default('sample_data/digits_mlp_a.parquet') %}
{% set target = target | default('sample_data/digits_mlp_b.parquet') %}
{% set key = key | default('id') %}
{% set label = label | default('label') %}
{% set column = column | default('embedding') %}
{% set train = train | default("split = 'train'") %}
{% set test = test | default("split = 'test'") %}
{% set max_anchors = max_anchors | default('768') %}
{% set omegas = omegas | default('1,2,4,8') %}
{% set deltas = deltas | default('0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8') %}
{% set seed = seed | default('0') %}
{% set out = out | default('sensitivity') %}

CREATE EXTERNAL TABLE source STORED AS PARQUET LOCATION {{ source | quote }};
CREATE EXTERNAL TABLE target STORED AS PARQUET LOCATION {{ target | quote }};

CREATE TABLE anchors AS
SELECT a.key, s.{{ column | ident }} AS source, t.{{ column | ident }} AS target
FROM (
    SELECT key FROM (
        SELECT {{ key | ident }} AS key, (row_number() OVER (ORDER BY {{ key | ident }}) + {{ seed }}) * 2654435769 % 4294967296 AS draw
        FROM source WHERE ({{ train }}) AND {{ column | ident }} IS NOT NULL AND {{ key | ident }} IN (SELECT {{ key | ident }} FROM target)
    ) ORDER BY draw LIMIT {{ max_anchors }}
) a
JOIN source s ON a.key = s.{{ key | ident }}
JOIN target t ON a.key = t.{{ key | ident }};

CREATE TABLE tested AS
SELECT s.{{ key | ident }} AS key, s.{{ label | ident }} AS label, s.{{ column | ident }} AS source, t.{{ column | ident }} AS target
FROM (SELECT * FROM source WHERE {{ test }}) s JOIN target t ON s.{{ key | ident }} = t.{{ key | ident }};

CREATE TABLE head AS
SELECT emb_head({{ key | ident }}, {{ column | ident }}, {{ label | ident }}) AS h FROM target WHERE {{ train }};

CREATE TABLE grid AS
SELECT omega, delta
FROM (VALUES {% for omega in omegas | split(',') %}({{ omega }}){{ ',' if not loop.last }}{% endfor %}) AS o (omega)
CROSS JOIN (VALUES {% for delta in deltas | split(',') %}({{ delta }}){{ ',' if not loop.last }}{% endfor %}) AS d (delta);

CREATE TABLE translators AS
WITH spaces AS (SELECT emb_space(key, source) AS x, emb_space(key, target) AS y FROM anchors)
SELECT omega, delta, emb_translator(x, y, {method: 'irp', omega: omega, delta: delta, seed: {{ seed }}}) AS t FROM grid CROSS JOIN spaces;

-- What each of the omega subspaces keeps, and how well its inverse is conditioned, is told by the translator.
CREATE TABLE members AS
SELECT omega, delta, avg(CAST(regexp_match(kept, '^[0-9]+')[1] AS DOUBLE)) AS kept_anchors,
       avg(CAST(regexp_match(conditioned, '^[0-9.e+-]+')[1] AS DOUBLE)) AS condition_number
FROM (
    SELECT omega, delta, unnest(array_slice(string_to_array(members, '"anchors":'), 2, 100000)) AS kept,
           unnest(array_slice(string_to_array(members, '"condition_number":'), 2, 100000)) AS conditioned
    FROM (SELECT omega, delta, split_part(t['diagnostics'], '"members":', 2) AS members FROM translators)
)
GROUP BY omega, delta;

CREATE TABLE measured AS
SELECT omega, delta, found['cosine'] AS cosine, found['centred_cosine'] AS centred_cosine, accuracy
FROM (
    SELECT omega, delta, emb_similarity(key, answer, target) AS found,
           avg(CASE WHEN emb_classify(answer, (SELECT h FROM head)) = label THEN 1.0 ELSE 0.0 END) AS accuracy
    FROM (SELECT omega, delta, key, label, target, emb_translate(source, t) AS answer FROM tested CROSS JOIN translators)
    GROUP BY omega, delta
);

COPY (SELECT * FROM measured JOIN members USING (omega, delta) ORDER BY omega, delta)
TO {{ (out ~ '/sensitivity.parquet') | quote }} STORED AS PARQUET OPTIONS (mode 'overwrite');

CREATE TABLE found AS SELECT * FROM {{ (out ~ '/sensitivity.parquet') | quote }};
COPY (
    SELECT omega, delta, '1 similarity (cosine)' AS measure, cosine AS value FROM found
    UNION ALL SELECT omega, delta, '2 accuracy', accuracy FROM found
    UNION ALL SELECT omega, delta, '3 condition number, log10', log10(condition_number) FROM found
    UNION ALL SELECT omega, delta, '4 kept anchors, log10', log10(kept_anchors) FROM found
) TO {{ (out ~ '/sensitivity.svg') | quote }} STORED AS SVG
OPTIONS (mode 'overwrite', x 'delta', y 'value', series 'omega', panel 'measure', columns '2', title 'Inverse relative projection over its settings');

SELECT omega, delta, round(cosine, 3) AS cosine, round(centred_cosine, 3) AS "centred cosine", round(accuracy, 3) AS accuracy,
       round(kept_anchors, 1) AS "kept anchors", round(condition_number, 1) AS "condition number"
FROM found ORDER BY omega, delta;

SELECT round(corr(cosine, accuracy), 2) AS "similarity and accuracy", round(corr(condition_number, kept_anchors), 2) AS "condition number and kept anchors"
FROM found;
