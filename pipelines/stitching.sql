{#- Table 2 of the paper, from SQL: heads of every encoder read rows of every other one that were translated into its space.

    The encoders' tables are LAKE/<encoder>.parquet; rows correspond by `key`. A head is trained on each encoder's own rows that satisfy `train`; anchors
    are drawn by key among these, the same ones for all pairs. What is read are the rows that satisfy `test`. `babelake stitch` does the same for
    a folder, with several seeds and a figure.

    babelake run pipelines/stitching.sql --set lake=encoders --set encoders=vit,resnet --set methods=parseval,paper
-#}
{% set lake = lake | default('sample_data') %}
{% set encoders = encoders | default('digits_mlp_a,digits_mlp_b,digits_rff') %}
{% set key = key | default('id') %}
{% set label = label | default('label') %}
{% set column = column | default('embedding') %}
{% set train = train | default("split = 'train'") %}
{% set test = test | default("split = 'test'") %}
{% set max_anchors = max_anchors | default('300') %}
{% set methods = methods | default('paper,parseval,linear') %}
{% set seed = seed | default('0') %}
{% set out = out | default('stitching') %}
{% set encoders = encoders | split(',') | map('trim') | list %}
{% set methods = methods | split(',') | map('trim') | list %}

{% for encoder in encoders %}
CREATE EXTERNAL TABLE {{ encoder | ident }} STORED AS PARQUET LOCATION {{ (lake ~ '/' ~ encoder ~ '.parquet') | quote }};
{% endfor %}

-- Anchors are drawn by key, as in translate.sql.
CREATE TABLE anchors AS
SELECT key FROM (
    SELECT key, (row_number() OVER (ORDER BY key) + {{ seed }}) * 2654435769 % 4294967296 AS draw
    FROM (SELECT {{ key | ident }} AS key FROM {{ encoders[0] | ident }} WHERE ({{ train }}) AND {{ column | ident }} IS NOT NULL)
    WHERE true
    {% for encoder in encoders %}{% if not loop.first %}
      AND key IN (SELECT {{ key | ident }} FROM {{ encoder | ident }} WHERE ({{ train }}) AND {{ column | ident }} IS NOT NULL)
    {% endif %}{% endfor %}
) ORDER BY draw LIMIT {{ max_anchors }};

{% for encoder in encoders %}
CREATE TABLE {{ ('head of ' ~ encoder) | ident }} AS
SELECT emb_head({{ key | ident }}, {{ column | ident }}, {{ label | ident }}, {encoder: {{ encoder | quote }}}) AS h FROM {{ encoder | ident }} WHERE {{ train }};
CREATE TABLE {{ ('test of ' ~ encoder) | ident }} AS
SELECT {{ key | ident }} AS key, {{ label | ident }} AS label, {{ column | ident }} AS v FROM {{ encoder | ident }} WHERE {{ test }};
{% endfor %}

CREATE TABLE accuracies (source VARCHAR, target VARCHAR, setting VARCHAR, anchors BIGINT, rows BIGINT, accuracy DOUBLE);

{% for target in encoders %}
INSERT INTO accuracies
SELECT {{ target | quote }} AS source, {{ target | quote }} AS target, 'non-stitch', NULL, count(*) AS rows,
       avg(CASE WHEN emb_classify(v, (SELECT h FROM {{ ('head of ' ~ target) | ident }})) = label THEN 1.0 ELSE 0.0 END)
FROM {{ ('test of ' ~ target) | ident }};
{% for source in encoders if source != target %}
CREATE TABLE {{ (source ~ '>' ~ target) | ident }} AS
SELECT a.key, s.{{ column | ident }} AS source, t.{{ column | ident }} AS target
FROM anchors a JOIN {{ source | ident }} s ON a.key = s.{{ key | ident }} JOIN {{ target | ident }} t ON a.key = t.{{ key | ident }};
{% for method in methods %}
{% set options = "{preset: 'paper'}" if method == 'paper' else "{method: '" ~ method ~ "'}" %}
CREATE TABLE {{ (source ~ '>' ~ target ~ ' ' ~ method) | ident }} AS SELECT emb_fit(key, source, target, {{ options }}) AS t FROM {{ (source ~ '>' ~ target) | ident }};
INSERT INTO accuracies
SELECT {{ source | quote }} AS source, {{ target | quote }} AS target, {{ method | quote }}, (SELECT count(*) FROM {{ (source ~ '>' ~ target) | ident }}), count(*) AS rows,
       avg(CASE WHEN emb_classify(emb_translate(v, (SELECT t FROM {{ (source ~ '>' ~ target ~ ' ' ~ method) | ident }})),
                                  (SELECT h FROM {{ ('head of ' ~ target) | ident }})) = label THEN 1.0 ELSE 0.0 END)
FROM {{ ('test of ' ~ source) | ident }};
{% endfor %}
{% endfor %}
{% endfor %}

COPY (SELECT * FROM accuracies ORDER BY source, target, setting) TO {{ (out ~ '/accuracies.parquet') | quote }} STORED AS PARQUET OPTIONS (mode 'overwrite');

-- Figure 7: from encoders into heads; what they make of their own rows is the diagonal.
SELECT target AS "head of", setting,
{% for source in encoders %}
       round(max(accuracy) FILTER (WHERE source = {{ source | quote }}), 3) AS {{ ('rows of ' ~ source) | ident }}{{ ',' if not loop.last }}
{% endfor %}
FROM accuracies GROUP BY target, setting ORDER BY target, setting;

-- Table 2: means over the pairs, and their deviation.
SELECT setting, count(*) AS pairs, round(avg(accuracy), 3) AS accuracy, round(stddev(accuracy), 3) AS deviation,
       round(avg(accuracy) / (SELECT avg(accuracy) FROM accuracies WHERE setting = 'non-stitch'), 3) AS "share of non-stitch"
FROM accuracies GROUP BY setting ORDER BY accuracy DESC;
