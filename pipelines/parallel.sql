{#- Table 1 of the paper, from SQL: embeddings of parallel rows, each encoder's own, translated into another encoder's space.

    The encoders' tables are LAKE/en.parquet and so on; their rows correspond by `key`. Anchors are drawn by key from the rows that satisfy
    `anchors` and are in every table, the same ones for all pairs; what is measured are other rows, those that satisfy `evaluate`.

    babelake run pipelines/parallel.sql --set lake=wikimatrix --set pairs='en>en,de>en,fr>en'
-#}
{% set lake = lake | default('sample_data/parallel') %}
{% set pairs = pairs | default('en>en,de>en,fr>en,fr>de') %}
{% set absolute = absolute | default('all') %}
{% set multilingual = multilingual | default('') %}
{% set key = key | default('id') %}
{% set column = column | default('embedding') %}
{% set anchors = anchors | default("split = 'train'") %}
{% set evaluate = evaluate | default("split = 'test'") %}
{% set max_anchors = max_anchors | default('768') %}
{% set pool = pool | default('3000') %}
{% set seed = seed | default('7') %}
{% set by = by | default('p_at_1') %}
{% set out = out | default('parallel') %}
{% set pairs = pairs | split(',') | map('trim') | list %}
{% set encoders = pairs | join(',') | replace('>', ',') | split(',') | map('trim') | unique | list %}

{% for encoder in encoders %}
CREATE EXTERNAL TABLE {{ ('encoder ' ~ encoder) | ident }} STORED AS PARQUET LOCATION {{ (lake ~ '/' ~ encoder ~ '.parquet') | quote }};
{% endfor %}

-- The rows that every encoder has embedded; drawn by key as in translate.sql.
CREATE TABLE rows AS
SELECT key, may_be_anchor, is_evaluated, (row_number() OVER (ORDER BY key) + {{ seed }}) * 2654435769 % 4294967296 AS draw
FROM (
    SELECT {{ key | ident }} AS key, ({{ anchors }}) AS may_be_anchor, ({{ evaluate }}) AS is_evaluated
    FROM {{ ('encoder ' ~ encoders[0]) | ident }} WHERE {{ column | ident }} IS NOT NULL
)
WHERE true
{% for encoder in encoders %}{% if not loop.first %}
  AND key IN (SELECT {{ key | ident }} FROM {{ ('encoder ' ~ encoder) | ident }} WHERE {{ column | ident }} IS NOT NULL)
{% endif %}{% endfor %};

CREATE TABLE chosen AS
SELECT key, true AS is_anchor FROM (SELECT key FROM rows WHERE may_be_anchor ORDER BY draw LIMIT {{ max_anchors }})
UNION ALL
SELECT key, false FROM (
    SELECT key FROM rows
    WHERE is_evaluated AND key NOT IN (SELECT key FROM (SELECT key FROM rows WHERE may_be_anchor ORDER BY draw LIMIT {{ max_anchors }}))
    ORDER BY draw LIMIT {{ pool }}
);

SELECT emb_require(evaluated > 0, 'no row is left to evaluate on: set anchors and evaluate') AS enough, anchors, evaluated
FROM (SELECT count(*) FILTER (WHERE is_anchor) AS anchors, count(*) FILTER (WHERE NOT is_anchor) AS evaluated FROM chosen);

-- What a cosine must be held against: what predicting the mean scores, and how near different rows of the encoder are to each other
-- anyway (all pairs; the deviation over each row and the next).
CREATE TABLE encoders (encoder VARCHAR, mean_only DOUBLE, different DOUBLE, different_deviation DOUBLE);
{% for encoder in pairs | map('split', '>') | map('list') | map('last') | map('trim') | unique %}
INSERT INTO encoders
WITH native AS (
    SELECT key, is_anchor, {{ column | ident }} AS v, lag({{ column | ident }}) OVER (PARTITION BY is_anchor ORDER BY key) AS neighbour
    FROM chosen JOIN {{ ('encoder ' ~ encoder) | ident }} e ON key = e.{{ key | ident }}
)
SELECT {{ encoder | quote }}, mean_only, (n * power(emb_norm(direction), 2) - 1) / (n - 1), deviation
FROM (
    SELECT avg(coalesce(emb_cosine(v, (SELECT emb_mean(v) FROM native WHERE is_anchor)), 0)) AS mean_only,
           emb_mean(emb_normalize(v)) AS direction, count(*) AS n, stddev_pop(coalesce(emb_cosine(v, neighbour), 0)) FILTER (WHERE neighbour IS NOT NULL) AS deviation
    FROM native WHERE NOT is_anchor
);
{% endfor %}

CREATE TABLE metrics (
    source VARCHAR, target VARCHAR, setting VARCHAR, method VARCHAR, anchors BIGINT, omega BIGINT, delta DOUBLE, rows BIGINT,
    cosine DOUBLE, cosine_deviation DOUBLE, centred_cosine DOUBLE, centred_deviation DOUBLE, p_at_1 DOUBLE, mrr DOUBLE
);

{% for pair in pairs %}
{% set source = (pair | split('>') | list)[0] | trim %}
{% set target = (pair | split('>') | list)[1] | trim %}
CREATE TABLE {{ pair | ident }} AS
SELECT c.key, c.is_anchor, s.{{ column | ident }} AS source, t.{{ column | ident }} AS target
{%- if multilingual %}, s.{{ multilingual | ident }} AS multilingual_source, t.{{ multilingual | ident }} AS multilingual_target{% endif %}

FROM chosen c
JOIN {{ ('encoder ' ~ source) | ident }} s ON c.key = s.{{ key | ident }}
JOIN {{ ('encoder ' ~ target) | ident }} t ON c.key = t.{{ key | ident }};

{% set settings = {'paper': "{preset: 'paper'}", 'parseval': "{method: 'parseval'}", 'best': "{method: 'best', by: '" ~ by ~ "'}"} %}
{% for setting in ['absolute', 'multilingual', 'paper', 'parseval', 'best'] %}
{% if setting in settings %}
CREATE TABLE {{ (pair ~ ' ' ~ setting) | ident }} AS SELECT emb_fit(key, source, target, {{ settings[setting] }}) AS t FROM {{ pair | ident }} WHERE is_anchor;
{% endif %}
{% if setting in settings or (setting == 'absolute' and (absolute == 'all' or pair in absolute | split(',') | map('trim') | list))
    or (setting == 'multilingual' and multilingual) %}
INSERT INTO metrics
WITH answers AS (
{% if setting == 'absolute' %}
    SELECT key, source AS answer, target AS native FROM {{ pair | ident }} WHERE NOT is_anchor
{% elif setting == 'multilingual' %}
    SELECT key, multilingual_source AS answer, multilingual_target AS native FROM {{ pair | ident }}
    WHERE NOT is_anchor AND multilingual_source IS NOT NULL AND multilingual_target IS NOT NULL
{% else %}
    SELECT key, emb_translate(source, (SELECT t FROM {{ (pair ~ ' ' ~ setting) | ident }})) AS answer, target AS native
    FROM {{ pair | ident }} WHERE NOT is_anchor
{% endif %}
), measured AS (
    SELECT emb_similarity(key, answer, native, {pool: {{ pool }}}) AS near,
           emb_retrieval(key, answer, native, {metric: 'centred_cosine', pool: {{ pool }}}) AS found,
           stddev_pop(coalesce(emb_cosine(answer, native), 0)) AS deviation,
           stddev_pop(coalesce(emb_cosine(emb_center(answer, (SELECT emb_mean(native) FROM answers)),
                                          emb_center(native, (SELECT emb_mean(native) FROM answers))), 0)) AS centred_deviation
    FROM answers
)
SELECT {{ source | quote }} AS source, {{ target | quote }} AS target, {{ setting | quote }} AS setting,
{% if setting in settings %}
       t['method'] AS method, CAST(regexp_match(t['diagnostics'], '"anchors":([0-9]+)')[1] AS BIGINT) AS anchors,
       CAST(regexp_match(t['settings'], '"omega":([0-9]+)')[1] AS BIGINT) AS omega,
       CAST(regexp_match(t['settings'], '"delta":([0-9.e-]+)')[1] AS DOUBLE) AS delta,
{% else %}
       NULL AS method, NULL AS anchors, NULL AS omega, NULL AS delta,
{% endif %}
       found['pool'], near['cosine'], deviation, near['centred_cosine'], centred_deviation, found['p_at_1'], found['mrr']
FROM measured{{ ' CROSS JOIN ' ~ (pair ~ ' ' ~ setting) | ident if setting in settings }};
{% endif %}
{% endfor %}
{% endfor %}

COPY (
    SELECT m.*, e.* EXCEPT (encoder) FROM metrics m JOIN encoders e ON target = encoder ORDER BY source, target, setting
) TO {{ (out ~ '/metrics.parquet') | quote }} STORED AS PARQUET OPTIONS (mode 'overwrite');

-- As the paper prints it: the mean cosine of an answer and the target encoder's own embedding, with its deviation.
SELECT source AS "Enc.", target AS "Dec.",
{% for setting in ['absolute', 'multilingual', 'paper', 'parseval', 'best'] if setting != 'multilingual' or multilingual %}
       max(CASE WHEN setting = '{{ setting }}' THEN round(cosine, 2) || ' ± ' || round(cosine_deviation, 2) END) AS {{ setting | ident }},
{% endfor %}
       max(round(mean_only, 2)) AS "mean only", max(round(different, 2) || ' ± ' || round(different_deviation, 2)) AS "different rows"
FROM {{ (out ~ '/metrics.parquet') | quote }}
GROUP BY source, target ORDER BY target, source;

-- And what tells more: without the common mean, and whether each answer finds its own row.
SELECT source AS "Enc.", target AS "Dec.", setting, method, anchors AS "K", omega, delta, rows,
       round(centred_cosine, 3) || ' ± ' || round(centred_deviation, 2) AS "centred cosine", round(p_at_1, 3) AS "P@1", round(mrr, 3) AS "MRR"
FROM {{ (out ~ '/metrics.parquet') | quote }}
ORDER BY target, source, CASE setting WHEN 'absolute' THEN 1 WHEN 'multilingual' THEN 2 WHEN 'paper' THEN 3 WHEN 'parseval' THEN 4 ELSE 5 END;
