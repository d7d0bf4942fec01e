{#- Parallel rows from parallel text: reads WikiMatrix files, keeps the sentences that are present in all chosen languages, and joins
    them to one embedding table a language. Writes a table a language whose rows correspond by `id`: what `parallel.sql`, `babelake fit`
    and `babelake hub` take.

    The files are as published, WikiMatrix.de-en.tsv.gz, codes in alphabetical order; one for each language and the `common` one. The
    embedding tables are LAKE/de.parquet (or a folder LAKE/de.parquet/) and so on. By 'text' they hold the sentences themselves; by 'id'
    the sentences are in tables of their own, TEXTS/de.parquet, with the `id` of their embedding.

    babelake run pipelines/wikimatrix.sql --set bitexts=s3://wikimatrix --set lake=s3://lake/sentences --set languages=de,en,fr,ja
-#}
{% set languages = languages | default('de,en,fr') %}
{% set common = common | default('en') %}
{% set bitexts = bitexts | default('sample_data/parallel') %}
{% set lake = lake | default('sample_data/parallel') %}
{% set by = by | default('text') %}
{% set texts = texts | default(lake) %}
{% set id = id | default('id') %}
{% set text = text | default('text') %}
{% set column = column | default('embedding') %}
{% set threshold = threshold | default('1.04') %}
{% set anchors = anchors | default('768') %}
{% set evaluation = evaluation | default('400') %}
{% set out = out | default('wikimatrix') %}
{% set languages = languages | split(',') | map('trim') | unique | list %}
{% set others = languages | reject('equalto', common) | list %}
{% if common not in languages or not others %}
SELECT emb_require(false, 'languages ({{ languages | join(', ') }}) are two or more, the common one ({{ common }}) among them') AS enough;
{% else %}

{% for language in languages %}
CREATE EXTERNAL TABLE {{ ('embeddings ' ~ language) | ident }} STORED AS PARQUET LOCATION {{ (lake ~ '/' ~ language ~ '.parquet') | quote }};

{% if by == 'id' %}
CREATE EXTERNAL TABLE {{ ('texts ' ~ language) | ident }} STORED AS PARQUET LOCATION {{ (texts ~ '/' ~ language ~ '.parquet') | quote }};
{% endif %}

-- The sentences that have an embedding, each once.
CREATE TABLE {{ ('sentences ' ~ language) | ident }} AS
{% if by == 'id' %}
SELECT t.{{ text | ident }} AS sentence, min(t.{{ id | ident }}) AS source
FROM {{ ('texts ' ~ language) | ident }} t
JOIN (SELECT {{ id | ident }} AS source FROM {{ ('embeddings ' ~ language) | ident }} WHERE {{ column | ident }} IS NOT NULL) e
  ON t.{{ id | ident }} = e.source
WHERE t.{{ text | ident }} IS NOT NULL
GROUP BY t.{{ text | ident }};
{% else %}
SELECT DISTINCT {{ text | ident }} AS sentence
FROM {{ ('embeddings ' ~ language) | ident }}
WHERE {{ text | ident }} IS NOT NULL AND {{ column | ident }} IS NOT NULL;
{% endif %}
{% endfor %}

{% for language in others %}
{% set languages_of = [language, common] | sort %}
-- Pairs over the threshold whose sentences both have an embedding. The file is read once and never held: the sentences are.
CREATE TABLE {{ ('pairs ' ~ language) | ident }} AS
SELECT c.sentence AS common, o.sentence AS other, max(w.margin) AS margin
FROM {{ ('sentences ' ~ common) | ident }} c
JOIN (
    {{ ('sentences ' ~ language) | ident }} o
    JOIN wikimatrix({{ (bitexts ~ '/WikiMatrix.' ~ languages_of[0] ~ '-' ~ languages_of[1] ~ '.tsv.gz') | quote }}) w
      ON o.sentence = w.{{ 'left' if language < common else 'right' }}
) ON c.sentence = w.{{ 'right' if language < common else 'left' }}
WHERE w.margin >= {{ threshold }}
GROUP BY c.sentence, o.sentence;

-- A sentence may stand in several pairs: only those stay that are the best of both their sentences.
CREATE TABLE {{ ('best ' ~ language) | ident }} AS
SELECT common, other, margin
FROM (
    SELECT *, row_number() OVER (PARTITION BY common ORDER BY margin DESC, other) AS of_common,
           row_number() OVER (PARTITION BY other ORDER BY margin DESC, common) AS of_other
    FROM {{ ('pairs ' ~ language) | ident }}
)
WHERE of_common = 1 AND of_other = 1;
{% endfor %}

-- Sentences present in all languages, by the least of their margins; the best are anchors, the next ones are for evaluation.
CREATE TABLE chosen AS
SELECT *, CASE WHEN id <= {{ anchors }} THEN 'train' ELSE 'test' END AS split
FROM (
    SELECT row_number() OVER (ORDER BY margin DESC, {{ ('text ' ~ common) | ident }}) AS id, *
    FROM (
        SELECT b1.common AS {{ ('text ' ~ common) | ident }}
               {%- for language in others %}, b{{ loop.index }}.other AS {{ ('text ' ~ language) | ident }}{% endfor %},
               least({% for language in others %}{{ ', ' if not loop.first }}b{{ loop.index }}.margin{% endfor %}) AS margin
        FROM {{ ('best ' ~ others[0]) | ident }} b1
{% for language in others %}{% if not loop.first %}
        JOIN {{ ('best ' ~ language) | ident }} b{{ loop.index }} ON b1.common = b{{ loop.index }}.common
{% endif %}{% endfor %}
    )
)
WHERE id <= {{ anchors }} + {{ evaluation }};

SELECT emb_require(anchors = {{ anchors }} AND evaluation = {{ evaluation }},
    (anchors + evaluation) || ' sentences are present in all languages (' || {{ languages | join(', ') | quote }} || ') with a margin of {{ threshold }} or more, and {{ anchors }} '
    || 'anchors and {{ evaluation }} for evaluation are wanted: ask for fewer (--set anchors=N, --set evaluation=N), lower the threshold, or embed more sentences')
    AS enough, anchors, evaluation
FROM (SELECT count(*) FILTER (WHERE split = 'train') AS anchors, count(*) FILTER (WHERE split = 'test') AS evaluation FROM chosen);

{% for language in languages %}
-- No sentence of the evaluation is an anchor.
SELECT emb_require(count(*) = 0, 'evaluation and anchors share ' || count(*) || ' sentences of {{ language }}') AS {{ (language ~ ' is disjoint') | ident }}
FROM (SELECT {{ ('text ' ~ language) | ident }} FROM chosen WHERE split = 'train' INTERSECT SELECT {{ ('text ' ~ language) | ident }} FROM chosen WHERE split = 'test');

-- The engine holds the left side of a join and lets the right one, the embeddings, stream by: unless they are filtered, which it takes for
-- a reason to hold them. Where a sentence is embedded twice, the shorter vector is taken, so that it is the same one every time.
COPY (
    SELECT id, split, margin, text, embedding
    FROM (
        SELECT c.id, c.split, c.margin, c.{{ ('text ' ~ language) | ident }} AS text, e.{{ column | ident }} AS embedding,
               row_number() OVER (PARTITION BY c.id ORDER BY emb_norm(e.{{ column | ident }}), e.{{ column | ident }}[1]) AS place
        FROM chosen c
{% if by == 'id' %}
        JOIN {{ ('sentences ' ~ language) | ident }} s ON c.{{ ('text ' ~ language) | ident }} = s.sentence
        JOIN {{ ('embeddings ' ~ language) | ident }} e ON s.source = e.{{ id | ident }}
{% else %}
        JOIN {{ ('embeddings ' ~ language) | ident }} e ON c.{{ ('text ' ~ language) | ident }} = e.{{ text | ident }}
{% endif %}
    )
    WHERE place = 1 AND embedding IS NOT NULL
    ORDER BY id
) TO {{ (out ~ '/' ~ language ~ '.parquet') | quote }} STORED AS PARQUET OPTIONS (mode 'overwrite');
{% endfor %}

SELECT split, count(*) AS sentences, round(min(margin), 3) AS "least margin", round(max(margin), 3) AS "best margin"
FROM chosen GROUP BY split ORDER BY split DESC;
{% endif %}
