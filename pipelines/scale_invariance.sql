{#- Figures 4 and 5 of the paper, from SQL: what the length of an embedding means to those who read it.

    For every encoder, how long its rows are; then networks of two hidden layers without normalisation layers, one for each activation, are
    trained on the raw training rows and read the test rows rescaled to one length alpha, which runs over multiples of the mean length.

    babelake run pipelines/scale_invariance.sql --set lake=encoders --set encoders=vit,resnet
-#}
{% set lake = lake | default('sample_data') %}
{% set encoders = encoders | default('digits_mlp_a,digits_mlp_b,digits_rff') %}
{% set key = key | default('id') %}
{% set label = label | default('label') %}
{% set column = column | default('embedding') %}
{% set train = train | default("split = 'train'") %}
{% set test = test | default("split = 'test'") %}
{% set activations = activations | default('relu,tanh,cos') %}
{% set hidden = hidden | default('64') %}
{% set multiples = multiples | default('0.125,0.25,0.5,0.75,1,1.5,2,3,4,5,6,7,8,12,16') %}
{% set flat = flat | default('0.02') %}
{% set iterations = iterations | default('100') %}
{% set l2 = l2 | default('0') %}
{% set seed = seed | default('0') %}
{% set out = out | default('scale_invariance') %}
{% set encoders = encoders | split(',') | map('trim') | list %}
{% set activations = activations | split(',') | map('trim') | list %}

CREATE TABLE multiples AS
SELECT CAST(multiple AS DOUBLE) AS multiple FROM (VALUES {% for multiple in multiples | split(',') %}({{ multiple }}){{ ',' if not loop.last }}{% endfor %}) AS t (multiple);

{% for encoder in encoders %}
CREATE EXTERNAL TABLE {{ encoder | ident }} STORED AS PARQUET LOCATION {{ (lake ~ '/' ~ encoder ~ '.parquet') | quote }};
{% endfor %}

-- Figure 5: how long the rows are.
CREATE TABLE scales (
    encoder VARCHAR, rows BIGINT, mean DOUBLE, deviation DOUBLE, skew DOUBLE, minimum DOUBLE, median DOUBLE, maximum DOUBLE, outliers DOUBLE, bimodality DOUBLE
);
{% for encoder in encoders %}
INSERT INTO scales
SELECT {{ encoder | quote }}, s['rows'], s['mean'], s['deviation'], s['skew'], s['minimum'], s['median'], s['maximum'], s['outliers'], s['bimodality']
FROM (SELECT emb_scale({{ column | ident }}) AS s FROM {{ encoder | ident }});
{% endfor %}
COPY (SELECT * FROM scales ORDER BY encoder) TO {{ (out ~ '/scales.parquet') | quote }} STORED AS PARQUET OPTIONS (mode 'overwrite');
SELECT encoder, rows, round(mean, 3) AS mean, round(deviation, 3) AS deviation, round(skew, 2) AS skew, round(outliers, 4) AS outliers,
       round(bimodality, 3) AS bimodality, CASE WHEN bimodality < 5.0 / 9 THEN 'yes' ELSE 'no' END AS "one mode"
FROM scales ORDER BY encoder;

COPY (
{% for encoder in encoders %}
    SELECT {{ encoder | quote }} AS encoder, emb_norm({{ column | ident }}) AS length FROM {{ encoder | ident }}
    {{ 'UNION ALL' if not loop.last }}
{% endfor %}
) TO {{ (out ~ '/lengths.svg') | quote }} STORED AS SVG
OPTIONS (mode 'overwrite', kind 'histogram', x 'length', panel 'encoder', title 'How long the rows of each encoder are');

-- Figure 4: heads on raw rows, and rows of one length. Without a ridge: it holds weights down and not biases, so that these weigh more on short rows
-- than on long ones.
CREATE TABLE curves (encoder VARCHAR, activation VARCHAR, multiple DOUBLE, alpha DOUBLE, rows BIGINT, accuracy DOUBLE, raw_accuracy DOUBLE);
{% for encoder in encoders %}
{% for activation in activations %}
CREATE TABLE {{ (encoder ~ ' ' ~ activation) | ident }} AS
SELECT emb_head({{ key | ident }}, {{ column | ident }}, {{ label | ident }}, {
           kind: 'mlp', activation: {{ activation | quote }}, hidden: {{ hidden }}, iterations: {{ iterations }}, l2: {{ l2 }}, seed: {{ seed }},
           encoder: {{ encoder | quote }}
       }) AS h
FROM {{ encoder | ident }} WHERE {{ train }};
INSERT INTO curves
WITH rows AS (SELECT {{ column | ident }} AS v, {{ label | ident }} AS label FROM {{ encoder | ident }} WHERE {{ test }}),
     raw AS (
         SELECT avg(CASE WHEN emb_classify(v, (SELECT h FROM {{ (encoder ~ ' ' ~ activation) | ident }})) = label THEN 1.0 ELSE 0.0 END) AS accuracy
         FROM rows
     ),
     rescaled AS (
         SELECT multiple, multiple * mean AS alpha, label,
                emb_classify(emb_rescale(v, multiple * mean), (SELECT h FROM {{ (encoder ~ ' ' ~ activation) | ident }})) AS class
         FROM rows CROSS JOIN multiples CROSS JOIN (SELECT mean FROM scales WHERE encoder = {{ encoder | quote }})
     )
SELECT {{ encoder | quote }}, {{ activation | quote }}, multiple, alpha, count(*), avg(CASE WHEN class = label THEN 1.0 ELSE 0.0 END),
       (SELECT accuracy FROM raw)
FROM rescaled GROUP BY multiple, alpha;
{% endfor %}
{% endfor %}
COPY (SELECT * FROM curves ORDER BY encoder, activation, multiple) TO {{ (out ~ '/curves.parquet') | quote }} STORED AS PARQUET OPTIONS (mode 'overwrite');

COPY (SELECT encoder, activation, multiple AS "length, in mean lengths", accuracy FROM curves)
TO {{ (out ~ '/curves.svg') | quote }} STORED AS SVG
OPTIONS (mode 'overwrite', x 'length, in mean lengths', y 'accuracy', series 'activation', panel 'encoder', log 'x',
         title 'Heads of two hidden layers on rows of one length');

SELECT encoder, activation, round(max(raw_accuracy), 3) AS "rows as they are",
{% for multiple in multiples | split(',') if multiple | float in [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0] %}
       round(max(accuracy) FILTER (WHERE multiple = {{ multiple }}), 3) AS "x {{ multiple | trim }}"{{ ',' if not loop.last }}
{% endfor %}
FROM curves GROUP BY encoder, activation ORDER BY encoder, activation;

{% if 'relu' in activations %}
-- Beyond the mean length a network of relus without normalisation sees the same directions, its biases ever smaller beside them.
SELECT encoder, round(max(accuracy) - min(accuracy), 4) AS "relu, from 1 to 8 mean lengths",
       emb_require(max(accuracy) - min(accuracy) <= {{ flat }},
                   encoder || ': the accuracy of relu varies by ' || round(max(accuracy) - min(accuracy), 4) || ' from 1 to 8 mean lengths') AS flat
FROM curves WHERE activation = 'relu' AND multiple BETWEEN 1 AND 8 GROUP BY encoder ORDER BY encoder;
{% endif %}
