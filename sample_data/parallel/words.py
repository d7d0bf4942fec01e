"""The words and sentence patterns of the parallel corpus: invented here, in German, English and French.

A word list has an entry a line: German | English | French, forms parted by commas. Earlier lines are drawn more often.
A pattern names its slots and has a sentence for each language. `sentence(rng)` draws one.
"""

from types import SimpleNamespace

LANGUAGES = ("de", "en", "fr")

# Nouns. German: gender, nominative, plural, and for weak nouns the other cases; English: singular, plural; French:
# gender, singular, plural. No French word has an aspirated h.
PEOPLE = """
m, Bäcker, Bäcker | baker, bakers | m, boulanger, boulangers
m, Arzt, Ärzte | doctor, doctors | m, médecin, médecins
f, Lehrerin, Lehrerinnen | teacher, teachers | f, enseignante, enseignantes
n, Kind, Kinder | child, children | m, enfant, enfants
m, Bauer, Bauern, Bauern | farmer, farmers | m, fermier, fermiers
f, Nachbarin, Nachbarinnen | neighbour, neighbours | f, voisine, voisines
f, Köchin, Köchinnen | cook, cooks | f, cuisinière, cuisinières
m, König, Könige | king, kings | m, roi, rois
m, Schneider, Schneider | tailor, tailors | m, tailleur, tailleurs
n, Mädchen, Mädchen | girl, girls | f, fille, filles
f, Sängerin, Sängerinnen | singer, singers | f, chanteuse, chanteuses
m, Maler, Maler | painter, painters | m, peintre, peintres
m, Junge, Jungen, Jungen | boy, boys | m, garçon, garçons
f, Großmutter, Großmütter | grandmother, grandmothers | f, grand-mère, grands-mères
m, Richter, Richter | judge, judges | m, juge, juges
m, Soldat, Soldaten, Soldaten | soldier, soldiers | m, soldat, soldats
m, Student, Studenten, Studenten | student, students | m, étudiant, étudiants
f, Königin, Königinnen | queen, queens | f, reine, reines
m, Fischer, Fischer | fisherman, fishermen | m, pêcheur, pêcheurs
m, Gärtner, Gärtner | gardener, gardeners | m, jardinier, jardiniers
f, Krankenschwester, Krankenschwestern | nurse, nurses | f, infirmière, infirmières
m, Händler, Händler | merchant, merchants | m, marchand, marchands
m, Bürgermeister, Bürgermeister | mayor, mayors | m, maire, maires
m, Onkel, Onkel | uncle, uncles | m, oncle, oncles
f, Tante, Tanten | aunt, aunts | f, tante, tantes
m, Pilot, Piloten, Piloten | pilot, pilots | m, pilote, pilotes
m, Dieb, Diebe | thief, thieves | m, voleur, voleurs
f, Tänzerin, Tänzerinnen | dancer, dancers | f, danseuse, danseuses
m, Schmied, Schmiede | blacksmith, blacksmiths | m, forgeron, forgerons
m, Kapitän, Kapitäne | captain, captains | m, capitaine, capitaines
m, Großvater, Großväter | grandfather, grandfathers | m, grand-père, grands-pères
f, Witwe, Witwen | widow, widows | f, veuve, veuves
m, Müller, Müller | miller, millers | m, meunier, meuniers
m, Anwalt, Anwälte | lawyer, lawyers | m, avocat, avocats
f, Journalistin, Journalistinnen | journalist, journalists | f, journaliste, journalistes
m, Matrose, Matrosen, Matrosen | sailor, sailors | m, marin, marins
m, Kellner, Kellner | waiter, waiters | m, serveur, serveurs
f, Hexe, Hexen | witch, witches | f, sorcière, sorcières
m, Zauberer, Zauberer | magician, magicians | m, magicien, magiciens
m, Jäger, Jäger | hunter, hunters | m, chasseur, chasseurs
m, Schäfer, Schäfer | shepherd, shepherds | m, berger, bergers
f, Dichterin, Dichterinnen | poet, poets | f, poétesse, poétesses
m, Tischler, Tischler | carpenter, carpenters | m, menuisier, menuisiers
m, Postbote, Postboten, Postboten | postman, postmen | m, facteur, facteurs
m, Mönch, Mönche | monk, monks | m, moine, moines
f, Wirtin, Wirtinnen | innkeeper, innkeepers | f, aubergiste, aubergistes
m, Uhrmacher, Uhrmacher | watchmaker, watchmakers | m, horloger, horlogers
m, Prinz, Prinzen, Prinzen | prince, princes | m, prince, princes
m, Riese, Riesen, Riesen | giant, giants | m, géant, géants
m, Wächter, Wächter | guard, guards | m, gardien, gardiens
"""

ANIMALS = """
m, Hund, Hunde | dog, dogs | m, chien, chiens
f, Katze, Katzen | cat, cats | m, chat, chats
n, Pferd, Pferde | horse, horses | m, cheval, chevaux
m, Fuchs, Füchse | fox, foxes | m, renard, renards
f, Kuh, Kühe | cow, cows | f, vache, vaches
m, Vogel, Vögel | bird, birds | m, oiseau, oiseaux
m, Bär, Bären, Bären | bear, bears | m, ours, ours
m, Wolf, Wölfe | wolf, wolves | m, loup, loups
m, Hase, Hasen, Hasen | hare, hares | m, lièvre, lièvres
m, Esel, Esel | donkey, donkeys | m, âne, ânes
f, Ziege, Ziegen | goat, goats | f, chèvre, chèvres
f, Maus, Mäuse | mouse, mice | f, souris, souris
n, Schaf, Schafe | sheep, sheep | m, mouton, moutons
f, Eule, Eulen | owl, owls | f, chouette, chouettes
m, Frosch, Frösche | frog, frogs | f, grenouille, grenouilles
m, Affe, Affen, Affen | monkey, monkeys | m, singe, singes
f, Ente, Enten | duck, ducks | m, canard, canards
n, Schwein, Schweine | pig, pigs | m, cochon, cochons
f, Schlange, Schlangen | snake, snakes | m, serpent, serpents
m, Löwe, Löwen, Löwen | lion, lions | m, lion, lions
m, Rabe, Raben, Raben | raven, ravens | m, corbeau, corbeaux
f, Gans, Gänse | goose, geese | f, oie, oies
m, Elefant, Elefanten, Elefanten | elephant, elephants | m, éléphant, éléphants
m, Adler, Adler | eagle, eagles | m, aigle, aigles
n, Eichhörnchen, Eichhörnchen | squirrel, squirrels | m, écureuil, écureuils
m, Hahn, Hähne | rooster, roosters | m, coq, coqs
f, Schildkröte, Schildkröten | turtle, turtles | f, tortue, tortues
m, Hirsch, Hirsche | stag, stags | m, cerf, cerfs
m, Papagei, Papageien, Papageien | parrot, parrots | m, perroquet, perroquets
n, Kamel, Kamele | camel, camels | m, chameau, chameaux
"""

THINGS = """
f, Lampe, Lampen | lamp, lamps | f, lampe, lampes
n, Buch, Bücher | book, books | m, livre, livres
m, Stuhl, Stühle | chair, chairs | f, chaise, chaises
m, Schlüssel, Schlüssel | key, keys | f, clé, clés
f, Uhr, Uhren | clock, clocks | f, horloge, horloges
m, Korb, Körbe | basket, baskets | m, panier, paniers
m, Brief, Briefe | letter, letters | f, lettre, lettres
n, Messer, Messer | knife, knives | m, couteau, couteaux
m, Tisch, Tische | table, tables | f, table, tables
f, Flasche, Flaschen | bottle, bottles | f, bouteille, bouteilles
n, Fahrrad, Fahrräder | bicycle, bicycles | m, vélo, vélos
m, Apfel, Äpfel | apple, apples | f, pomme, pommes
f, Tasse, Tassen | cup, cups | f, tasse, tasses
m, Mantel, Mäntel | coat, coats | m, manteau, manteaux
m, Hut, Hüte | hat, hats | m, chapeau, chapeaux
f, Geige, Geigen | violin, violins | m, violon, violons
m, Koffer, Koffer | suitcase, suitcases | f, valise, valises
n, Bild, Bilder | picture, pictures | m, tableau, tableaux
m, Spiegel, Spiegel | mirror, mirrors | m, miroir, miroirs
n, Brot, Brote | loaf, loaves | m, pain, pains
m, Teppich, Teppiche | carpet, carpets | m, tapis, tapis
f, Kiste, Kisten | crate, crates | f, caisse, caisses
m, Ring, Ringe | ring, rings | f, bague, bagues
n, Boot, Boote | boat, boats | m, bateau, bateaux
f, Kerze, Kerzen | candle, candles | f, bougie, bougies
m, Hammer, Hämmer | hammer, hammers | m, marteau, marteaux
m, Regenschirm, Regenschirme | umbrella, umbrellas | m, parapluie, parapluies
f, Zeitung, Zeitungen | newspaper, newspapers | m, journal, journaux
n, Kissen, Kissen | cushion, cushions | m, coussin, coussins
f, Landkarte, Landkarten | map, maps | f, carte, cartes
m, Eimer, Eimer | bucket, buckets | m, seau, seaux
f, Leiter, Leitern | ladder, ladders | f, échelle, échelles
m, Kuchen, Kuchen | cake, cakes | m, gâteau, gâteaux
f, Decke, Decken | blanket, blankets | f, couverture, couvertures
n, Seil, Seile | rope, ropes | f, corde, cordes
f, Trommel, Trommeln | drum, drums | m, tambour, tambours
m, Wagen, Wagen | cart, carts | f, charrette, charrettes
f, Puppe, Puppen | doll, dolls | f, poupée, poupées
n, Hemd, Hemden | shirt, shirts | f, chemise, chemises
m, Stiefel, Stiefel | boot, boots | f, botte, bottes
f, Säge, Sägen | saw, saws | f, scie, scies
n, Glas, Gläser | glass, glasses | m, verre, verres
f, Schaufel, Schaufeln | shovel, shovels | f, pelle, pelles
m, Topf, Töpfe | pot, pots | f, marmite, marmites
f, Flöte, Flöten | flute, flutes | f, flûte, flûtes
m, Handschuh, Handschuhe | glove, gloves | m, gant, gants
f, Feder, Federn | feather, feathers | f, plume, plumes
m, Stein, Steine | stone, stones | f, pierre, pierres
f, Vase, Vasen | vase, vases | m, vase, vases
n, Telefon, Telefone | telephone, telephones | m, téléphone, téléphones
f, Birne, Birnen | pear, pears | f, poire, poires
m, Pinsel, Pinsel | brush, brushes | m, pinceau, pinceaux
"""

# Adjectives beside a noun. German: stem; English; French: masculine, feminine, and "before" for those that stand before
# the noun.
COLOURS = """
rot | red | rouge, rouge
blau | blue | bleu, bleue
schwarz | black | noir, noire
grün | green | vert, verte
weiß | white | blanc, blanche
gelb | yellow | jaune, jaune
grau | grey | gris, grise
braun | brown | brun, brune
"""

QUALITIES = COLOURS + """
klein | small | petit, petite, before
groß | big | grand, grande, before
neu | new | neuf, neuve
schwer | heavy | lourd, lourde
schmutzig | dirty | sale, sale
rund | round | rond, ronde
hübsch | pretty | joli, jolie, before
wertvoll | valuable | précieux, précieuse
seltsam | strange | étrange, étrange
golden | golden | doré, dorée
sauber | clean | propre, propre
"""

# German: plain, comparative; English: the same; French: masculine, feminine.
MOODS = """
müde, müder | tired, more tired | fatigué, fatiguée
glücklich, glücklicher | happy, happier | heureux, heureuse
stark, stärker | strong, stronger | fort, forte
traurig, trauriger | sad, sadder | triste, triste
alt, älter | old, older | vieux, vieille
jung, jünger | young, younger | jeune, jeune
mutig, mutiger | brave, braver | courageux, courageuse
neugierig, neugieriger | curious, more curious | curieux, curieuse
langsam, langsamer | slow, slower | lent, lente
klug, klüger | clever, cleverer | intelligent, intelligente
faul, fauler | lazy, lazier | paresseux, paresseuse
ruhig, ruhiger | calm, calmer | calme, calme
krank, kränker | ill, more ill | malade, malade
stolz, stolzer | proud, prouder | fier, fière
schwach, schwächer | weak, weaker | faible, faible
treu, treuer | loyal, more loyal | fidèle, fidèle
schüchtern, schüchterner | shy, shyer | timide, timide
geduldig, geduldiger | patient, more patient | patient, patiente
lustig, lustiger | funny, funnier | drôle, drôle
ernst, ernster | serious, more serious | sérieux, sérieuse
nass, nasser | wet, wetter | mouillé, mouillée
"""

# Verbs. German: present, past, infinitive, participle; English: the same; French: present, participle, infinitive. All
# take "haben" and "avoir".
DEEDS = """
kauft, kaufte, kaufen, gekauft | buys, bought, buy, bought | achète, acheté, acheter
verkauft, verkaufte, verkaufen, verkauft | sells, sold, sell, sold | vend, vendu, vendre
sucht, suchte, suchen, gesucht | looks for, looked for, look for, looked for | cherche, cherché, chercher
findet, fand, finden, gefunden | finds, found, find, found | trouve, trouvé, trouver
trägt, trug, tragen, getragen | carries, carried, carry, carried | porte, porté, porter
versteckt, versteckte, verstecken, versteckt | hides, hid, hide, hidden | cache, caché, cacher
verliert, verlor, verlieren, verloren | loses, lost, lose, lost | perd, perdu, perdre
malt, malte, malen, gemalt | paints, painted, paint, painted | peint, peint, peindre
vergisst, vergaß, vergessen, vergessen | forgets, forgot, forget, forgotten | oublie, oublié, oublier
putzt, putzte, putzen, geputzt | cleans, cleaned, clean, cleaned | nettoie, nettoyé, nettoyer
repariert, reparierte, reparieren, repariert | repairs, repaired, repair, repaired | répare, réparé, réparer
nimmt, nahm, nehmen, genommen | takes, took, take, taken | prend, pris, prendre
zeichnet, zeichnete, zeichnen, gezeichnet | draws, drew, draw, drawn | dessine, dessiné, dessiner
stiehlt, stahl, stehlen, gestohlen | steals, stole, steal, stolen | vole, volé, voler
wäscht, wusch, waschen, gewaschen | washes, washed, wash, washed | lave, lavé, laver
zerbricht, zerbrach, zerbrechen, zerbrochen | breaks, broke, break, broken | casse, cassé, casser
behält, behielt, behalten, behalten | keeps, kept, keep, kept | garde, gardé, garder
leiht, lieh, leihen, geliehen | borrows, borrowed, borrow, borrowed | emprunte, emprunté, emprunter
beschreibt, beschrieb, beschreiben, beschrieben | describes, described, describe, described | décrit, décrit, décrire
tauscht, tauschte, tauschen, getauscht | swaps, swapped, swap, swapped | échange, échangé, échanger
wiegt, wog, wiegen, gewogen | weighs, weighed, weigh, weighed | pèse, pesé, peser
untersucht, untersuchte, untersuchen, untersucht | examines, examined, examine, examined | examine, examiné, examiner
berührt, berührte, berühren, berührt | touches, touched, touch, touched | touche, touché, toucher
verpackt, verpackte, verpacken, verpackt | packs, packed, pack, packed | emballe, emballé, emballer
"""

MEETINGS = """
kennt, kannte, kennen, gekannt | knows, knew, know, known | connaît, connu, connaître
liebt, liebte, lieben, geliebt | loves, loved, love, loved | aime, aimé, aimer
grüßt, grüßte, grüßen, gegrüßt | greets, greeted, greet, greeted | salue, salué, saluer
ruft, rief, rufen, gerufen | calls, called, call, called | appelle, appelé, appeler
beobachtet, beobachtete, beobachten, beobachtet | watches, watched, watch, watched | observe, observé, observer
hört, hörte, hören, gehört | hears, heard, hear, heard | entend, entendu, entendre
fürchtet, fürchtete, fürchten, gefürchtet | fears, feared, fear, feared | craint, craint, craindre
bewundert, bewunderte, bewundern, bewundert | admires, admired, admire, admired | admire, admiré, admirer
warnt, warnte, warnen, gewarnt | warns, warned, warn, warned | avertit, averti, avertir
schützt, schützte, schützen, geschützt | protects, protected, protect, protected | protège, protégé, protéger
rettet, rettete, retten, gerettet | rescues, rescued, rescue, rescued | sauve, sauvé, sauver
hasst, hasste, hassen, gehasst | hates, hated, hate, hated | déteste, détesté, détester
heilt, heilte, heilen, geheilt | cures, cured, cure, cured | guérit, guéri, guérir
"""

DOINGS = """
arbeitet, arbeitete, arbeiten, gearbeitet | works, worked, work, worked | travaille, travaillé, travailler
singt, sang, singen, gesungen | sings, sang, sing, sung | chante, chanté, chanter
schläft, schlief, schlafen, geschlafen | sleeps, slept, sleep, slept | dort, dormi, dormir
wartet, wartete, warten, gewartet | waits, waited, wait, waited | attend, attendu, attendre
liest, las, lesen, gelesen | reads, read, read, read | lit, lu, lire
tanzt, tanzte, tanzen, getanzt | dances, danced, dance, danced | danse, dansé, danser
lacht, lachte, lachen, gelacht | laughs, laughed, laugh, laughed | rit, ri, rire
schreibt, schrieb, schreiben, geschrieben | writes, wrote, write, written | écrit, écrit, écrire
weint, weinte, weinen, geweint | cries, cried, cry, cried | pleure, pleuré, pleurer
kocht, kochte, kochen, gekocht | cooks, cooked, cook, cooked | cuisine, cuisiné, cuisiner
träumt, träumte, träumen, geträumt | dreams, dreamed, dream, dreamed | rêve, rêvé, rêver
raucht, rauchte, rauchen, geraucht | smokes, smoked, smoke, smoked | fume, fumé, fumer
lernt, lernte, lernen, gelernt | studies, studied, study, studied | étudie, étudié, étudier
pfeift, pfiff, pfeifen, gepfiffen | whistles, whistled, whistle, whistled | siffle, sifflé, siffler
hilft, half, helfen, geholfen | helps, helped, help, helped | aide, aidé, aider
strickt, strickte, stricken, gestrickt | knits, knitted, knit, knitted | tricote, tricoté, tricoter
hustet, hustete, husten, gehustet | coughs, coughed, cough, coughed | tousse, toussé, tousser
zögert, zögerte, zögern, gezögert | hesitates, hesitated, hesitate, hesitated | hésite, hésité, hésiter
gähnt, gähnte, gähnen, gegähnt | yawns, yawned, yawn, yawned | bâille, bâillé, bâiller
näht, nähte, nähen, genäht | sews, sewed, sew, sewn | coud, cousu, coudre
"""

HABITS = """
schläft, schlief, schlafen, geschlafen | sleeps, slept, sleep, slept | dort, dormi, dormir
frisst, fraß, fressen, gefressen | eats, ate, eat, eaten | mange, mangé, manger
trinkt, trank, trinken, getrunken | drinks, drank, drink, drunk | boit, bu, boire
wartet, wartete, warten, gewartet | waits, waited, wait, waited | attend, attendu, attendre
jagt, jagte, jagen, gejagt | hunts, hunted, hunt, hunted | chasse, chassé, chasser
spielt, spielte, spielen, gespielt | plays, played, play, played | joue, joué, jouer
springt, sprang, springen, gesprungen | jumps, jumped, jump, jumped | saute, sauté, sauter
gräbt, grub, graben, gegraben | digs, dug, dig, dug | creuse, creusé, creuser
lauscht, lauschte, lauschen, gelauscht | listens, listened, listen, listened | écoute, écouté, écouter
zittert, zitterte, zittern, gezittert | trembles, trembled, tremble, trembled | tremble, tremblé, trembler
hinkt, hinkte, hinken, gehinkt | limps, limped, limp, limped | boite, boité, boiter
schreit, schrie, schreien, geschrien | screams, screamed, scream, screamed | crie, crié, crier
"""

MODALS = """
muss | must | doit
will | wants to | veut
kann | can | peut
soll | should | devrait
möchte | would like to | voudrait
"""

# Where and whither.
PLACES = """
im Garten, in den Garten | in the garden, to the garden | dans le jardin, dans le jardin
auf dem Markt, auf den Markt | at the market, to the market | au marché, au marché
in der Küche, in die Küche | in the kitchen, to the kitchen | dans la cuisine, dans la cuisine
in der Schule, in die Schule | at the school, to the school | à l'école, à l'école
im Wald, in den Wald | in the forest, into the forest | dans la forêt, dans la forêt
am Bahnhof, zum Bahnhof | at the station, to the station | à la gare, à la gare
am Fluss, an den Fluss | by the river, to the river | au bord de la rivière, au bord de la rivière
im Dorf, ins Dorf | in the village, to the village | au village, au village
auf der Brücke, auf die Brücke | on the bridge, onto the bridge | sur le pont, sur le pont
in der Kirche, in die Kirche | in the church, into the church | dans l'église, dans l'église
am Hafen, zum Hafen | at the harbour, to the harbour | au port, au port
im Stall, in den Stall | in the stable, into the stable | dans l'étable, dans l'étable
in der Bibliothek, in die Bibliothek | in the library, to the library | à la bibliothèque, à la bibliothèque
im Schloss, ins Schloss | in the castle, to the castle | au château, au château
auf dem Dach, auf das Dach | on the roof, onto the roof | sur le toit, sur le toit
am Strand, an den Strand | on the beach, to the beach | à la plage, à la plage
im Keller, in den Keller | in the cellar, into the cellar | à la cave, à la cave
in der Werkstatt, in die Werkstatt | in the workshop, to the workshop | à l'atelier, à l'atelier
im Museum, ins Museum | in the museum, to the museum | au musée, au musée
auf dem Feld, auf das Feld | in the field, into the field | dans le champ, dans le champ
in der Mühle, in die Mühle | at the mill, to the mill | au moulin, au moulin
im Gasthaus, ins Gasthaus | at the inn, to the inn | à l'auberge, à l'auberge
auf der Insel, auf die Insel | on the island, to the island | sur l'île, sur l'île
im Krankenhaus, ins Krankenhaus | at the hospital, to the hospital | à l'hôpital, à l'hôpital
im Turm, in den Turm | in the tower, into the tower | dans la tour, dans la tour
am See, an den See | by the lake, to the lake | au bord du lac, au bord du lac
im Theater, ins Theater | at the theatre, to the theatre | au théâtre, au théâtre
in der Scheune, in die Scheune | in the barn, into the barn | dans la grange, dans la grange
auf dem Hügel, auf den Hügel | on the hill, up the hill | sur la colline, sur la colline
im Hof, in den Hof | in the yard, into the yard | dans la cour, dans la cour
im Rathaus, ins Rathaus | at the town hall, to the town hall | à la mairie, à la mairie
in der Höhle, in die Höhle | in the cave, into the cave | dans la grotte, dans la grotte
auf der Wiese, auf die Wiese | in the meadow, to the meadow | dans le pré, dans le pré
in der Fabrik, in die Fabrik | in the factory, to the factory | à l'usine, à l'usine
im Zelt, ins Zelt | in the tent, into the tent | sous la tente, sous la tente
"""

# Subordinate clauses, present and past.
WEATHER = """
es regnet, es regnete | it is raining, it was raining | il pleut, il pleuvait
die Sonne scheint, die Sonne schien | the sun is shining, the sun was shining | le soleil brille, le soleil brillait
es schneit, es schneite | it is snowing, it was snowing | il neige, il neigeait
es sehr kalt ist, es sehr kalt war | it is very cold, it was very cold | il fait très froid, il faisait très froid
der Wind heult, der Wind heulte | the wind is howling, the wind was howling | le vent hurle, le vent hurlait
es zu heiß ist, es zu heiß war | it is too hot, it was too hot | il fait trop chaud, il faisait trop chaud
es dunkel wird, es dunkel wurde | it is getting dark, it was getting dark | la nuit tombe, la nuit tombait
der Himmel grau ist, der Himmel grau war | the sky is grey, the sky was grey | le ciel est gris, le ciel était gris
ein Gewitter naht, ein Gewitter nahte | a storm is coming, a storm was coming | un orage approche, un orage approchait
der Mond aufgeht, der Mond aufging | the moon is rising, the moon was rising | la lune se lève, la lune se levait
Nebel aufsteigt, Nebel aufstieg | fog is rising, fog was rising | le brouillard monte, le brouillard montait
der Schnee schmilzt, der Schnee schmolz | the snow is melting, the snow was melting | la neige fond, la neige fondait
es windig ist, es windig war | it is windy, it was windy | il y a du vent, il y avait du vent
Hagel fällt, Hagel fiel | hail is falling, hail was falling | la grêle tombe, la grêle tombait
"""

PAST = """
gestern | yesterday | hier
letzte Woche | last week | la semaine dernière
heute Morgen | this morning | ce matin
am Montag | on Monday | lundi
vor zwei Tagen | two days ago | il y a deux jours
in der Nacht | during the night | pendant la nuit
im letzten Winter | last winter | l'hiver dernier
am Sonntag | on Sunday | dimanche
nach dem Fest | after the feast | après la fête
um Mitternacht | at midnight | à minuit
vor Sonnenaufgang | before sunrise | avant l'aube
im Frühling | in spring | au printemps
vor dem Essen | before the meal | avant le repas
an einem Abend | one evening | un soir
"""

OFTEN = """
jeden Morgen | every morning | chaque matin
jeden Abend | every evening | chaque soir
im Sommer | in summer | en été
nach der Arbeit | after work | après le travail
am Wochenende | at the weekend | le week-end
an Feiertagen | on holidays | les jours de fête
von früh bis spät | from morning till night | du matin au soir
jeden zweiten Tag | every other day | un jour sur deux
im Herbst | in autumn | en automne
zweimal im Jahr | twice a year | deux fois par an
bei Vollmond | at full moon | à la pleine lune
"""

FUTURE = """
morgen | tomorrow | demain
nächste Woche | next week | la semaine prochaine
heute Abend | this evening | ce soir
am Freitag | on Friday | vendredi
bald | soon | bientôt
übermorgen | the day after tomorrow | après-demain
im nächsten Jahr | next year | l'année prochaine
in drei Tagen | in three days | dans trois jours
eines Tages | one day | un jour
am Ende des Monats | at the end of the month | à la fin du mois
"""

NUMBERS = """
zwei | two | deux
drei | three | trois
fünf | five | cinq
vier | four | quatre
zehn | ten | dix
sieben | seven | sept
sechs | six | six
zwölf | twelve | douze
acht | eight | huit
neun | nine | neuf
elf | eleven | onze
"""

MANY = NUMBERS + """
zwanzig | twenty | vingt
hundert | a hundred | cent
dreißig | thirty | trente
vierzig | forty | quarante
sechzig | sixty | soixante
"""

# Written alike in the three languages.
NAMES = """Mirela Tobin Aska Jorin Neva Kaldo Oslin Selko Tavi Ulma Varo Wenka Yolan Zerin Berrit Corvin Dalia Emrik
Fenna Gorm Ivo Lenko Pilo Rasmin"""
FOLDERS = r"C:\data C:\temp\new D:\texts C:\notes\old D:\backup\r2"
FILES = "table.csv notes.txt list.old north.map report.txt index.bak"
WIDTHS = "12 24 7 36 15 9 48 20 11 18"
YEARS = " ".join(str(1700 + (year * 37) % 271) for year in range(40))

# The patterns, the commonest first. A slot is `name=list`; `thing=THINGS+QUALITIES` sets an adjective before or behind
# the noun, `mood=MOODS/who` has the French adjective agree with the noun in `who`.
PATTERNS = [
    ("who=PEOPLE did=DEEDS what=THINGS+QUALITIES where=PLACES",
     "{who.der} {did.past} {where.at} {what.einen}.",
     "{who.the} {did.past} {what.a} {where.at}.",
     "{who.le} {did.past} {what.un} {where.at}."),
    ("when=PAST who=PEOPLE did=DEEDS what=THINGS+QUALITIES",
     "{when.text} {did.past} {who.der} {what.den}.",
     "{when.text}, {who.the} {did.past} {what.the}.",
     "{when.text}, {who.le} {did.past} {what.le}."),
    ("name=NAMES when=PAST where=PLACES number=MANY what=THINGS did=DEEDS",
     "{name.text} hat {when.text} {where.at} {number.text} {what.pl} {did.part}.",
     "{name.text} {did.past} {number.text} {what.pl} {where.at} {when.text}.",
     "{name.text} {did.past} {number.text} {what.pl} {where.at} {when.text}."),
    ("who=PEOPLE does=DOINGS where=PLACES meets=MEETINGS other=PEOPLE",
     "{who.der}, {who.rel} {where.at} {does.now}, {meets.now} {other.den}.",
     "{who.the} who {does.now} {where.at} {meets.now} {other.the}.",
     "{who.le} qui {does.now} {where.at} {meets.now} {other.le}."),
    ("weather=WEATHER did=DOINGS who=PEOPLE where=PLACES",
     "Weil {weather.past}, {did.past} {who.der} {where.at}.",
     "Because {weather.past}, {who.the} {did.past} {where.at}.",
     "Comme {weather.past}, {who.le} {did.past} {where.at}."),
    ("name=NAMES who=PEOPLE when=OFTEN where=PLACES does=DOINGS",
     "{name.text} sagt, dass {who.der} {when.text} {where.at} {does.now}.",
     "{name.text} says that {who.the} {does.now} {where.at} {when.text}.",
     "{name.text} dit que {who.le} {does.now} {where.at} {when.text}."),
    ("who=PEOPLE should=MODALS what=THINGS+QUALITIES when=FUTURE do=DEEDS",
     "{who.der} {should.text} {what.den} {when.text} {do.inf}.",
     "{who.the} {should.text} {do.inf} {what.the} {when.text}.",
     "{who.le} {should.text} {do.inf} {what.le} {when.text}."),
    ("one=ANIMALS does=HABITS where=PLACES other=ANIMALS also=HABITS",
     "{one.ein} {does.now} {where.at}, während {other.ein} {also.now}.",
     "{one.a} {does.now} {where.at} while {other.a} {also.now}.",
     "{one.un} {does.now} {where.at} pendant qu'{other.un} {also.now}."),
    ("where=PLACES number=NUMBERS what=THINGS more=NUMBERS other=THINGS",
     "{where.at} gibt es {number.text} {what.pl} und {more.text} {other.pl}.",
     "There are {number.text} {what.pl} and {more.text} {other.pl} {where.at}.",
     "Il y a {number.text} {what.pl} et {more.text} {other.pl} {where.at}."),
    ("who=PEOPLE other=PEOPLE what=THINGS+QUALITIES when=OFTEN",
     "{when.text} gibt {who.der} {other.dem} {what.einen}.",
     "{who.the} gives {what.a} to {other.the} {when.text}.",
     "{who.le} donne {what.un} {other.au} {when.text}."),
    ("who=PEOPLE what=THINGS+QUALITIES did=DEEDS",
     "Hat {who.der} {what.den} schon {did.part}?",
     "Has {who.the} {did.part} {what.the} yet?",
     "Est-ce que {who.le} a déjà {did.part} {what.le} ?"),
    ("weather=WEATHER one=ANIMALS does=HABITS where=PLACES who=PEOPLE",
     "Wenn {weather.now}, {does.now} {one.der} {where.at}, und {who.der} bleibt zu Hause.",
     "When {weather.now}, {one.the} {does.now} {where.at} and {who.the} stays at home.",
     "Quand {weather.now}, {one.le} {does.now} {where.at} et {who.le} reste à la maison."),
    ("when=FUTURE who=PEOPLE one=ANIMALS where=PLACES",
     "{when.text} wird {who.der} mit {one.einem} {where.to} gehen.",
     "{when.text}, {who.the} will go {where.to} with {one.a}.",
     "{when.text}, {who.le} ira {where.to} avec {one.un}."),
    ("who=PEOPLE meets=MEETINGS one=ANIMALS weather=WEATHER",
     "{who.der} {meets.past} {one.den}, während {weather.past}.",
     "{who.the} {meets.past} {one.the} while {weather.past}.",
     "{who.le} {meets.past} {one.le} alors {weather.que}."),
    ("one=ANIMALS where=PLACES mood=MOODS/one other=ANIMALS",
     "{one.der} {where.at} ist {mood.more} als {other.der}.",
     "{one.the} {where.at} is {mood.more} than {other.the}.",
     "{one.le} {where.at} est plus {mood.text} que {other.le}."),
    ("who=PEOPLE mood=MOODS/who also=MOODS/who when=OFTEN",
     "{when.text} ist {who.der} {mood.text} und {also.text}.",
     "{who.the} is {mood.text} and {also.text} {when.text}.",
     "{who.le} est {mood.text} et {also.text} {when.text}."),
    ("name=NAMES what=THINGS+QUALITIES where=PLACES",
     "{name.text}, bring bitte {what.den} {where.to}!",
     "{name.text}, please bring {what.the} {where.to}!",
     "{name.text}, apporte {what.le} {where.to}, s'il te plaît !"),
    ("when=PAST who=PEOPLE did=DEEDS what=THINGS name=NAMES also=DEEDS other=THINGS where=PLACES",
     "{when.text} {did.past} {who.der} {what.einen}, doch {name.text} {also.past} {other.den} und lief {where.to}.",
     "{when.text}, {who.the} {did.past} {what.a}, but {name.text} {also.past} {other.the} and ran {where.to}.",
     "{when.text}, {who.le} {did.past} {what.un}, mais {name.text} {also.past} {other.le} et a couru {where.to}."),
    ("year=YEARS who=PEOPLE where=PLACES number=MANY",
     "Im Jahr {year.text} baute {who.der} {where.at} ein Haus mit {number.text} Fenstern.",
     "In {year.text}, {who.the} built a house with {number.text} windows {where.at}.",
     "En {year.text}, {who.le} a construit une maison à {number.text} fenêtres {where.at}."),
    ("hour=NUMBERS who=PEOPLE do=DOINGS where=PLACES",
     "Um {hour.text} Uhr beginnt {who.der}, {where.at} zu {do.inf}.",
     "At {hour.text} o'clock, {who.the} begins to {do.inf} {where.at}.",
     "À {hour.text} heures, {who.le} commence à {do.inf} {where.at}."),
    ("what=THINGS where=PLACES colour=COLOURS/what other=COLOURS/what",
     "{what.der} {where.at} ist {colour.text}, nicht {other.text}.",
     "{what.the} {where.at} is {colour.text}, not {other.text}.",
     "{what.le} {where.at} est {colour.text}, pas {other.text}."),
    ("what=THINGS number=MANY other=THINGS more=MANY",
     "{what.der} kostet {number.text} Kronen und {other.der} {more.text}.",
     "{what.the} costs {number.text} crowns and {other.the} {more.text}.",
     "{what.le} coûte {number.text} couronnes et {other.le} {more.text}."),
    ("who=PEOPLE what=THINGS+QUALITIES did=DEEDS",
     "{who.der} hat {what.den} nie {did.part}.",
     "{who.the} has never {did.part} {what.the}.",
     "{who.le} n'a jamais {did.part} {what.le}."),
    ("what=THINGS name=NAMES other=THINGS+QUALITIES",
     "Das ist nicht {what.der} von {name.text}, sondern {other.ein}.",
     "This is not {name.text}'s {what.noun}, but {other.a}.",
     "Ce n'est pas {what.le} {name.de}, mais {other.un}."),
    ("what=THINGS+QUALITIES who=PEOPLE",
     "{what.der} gehört {who.dem}.",
     "{what.the} belongs to {who.the}.",
     "{what.le} appartient {who.au}."),
    ("who=PEOPLE when=PAST one=ANIMALS what=THINGS",
     '{who.der} las {when.text} das Buch "{one.Der} und {what.der}".',
     '{who.the} read the book "{one.The} and {what.the}" {when.text}.',
     '{who.le} a lu le livre "{one.Le} et {what.le}" {when.text}.'),
    ("what=THINGS+QUALITIES name=NAMES where=PLACES",
     '"Wo ist {what.der}?", fragte {name.text} {where.at}.',
     '"Where is {what.the}?" asked {name.text} {where.at}.',
     '"Où est {what.le} ?" demanda {name.text} {where.at}.'),
    ("what=THINGS+QUALITIES where=PLACES width=WIDTHS",
     '{what.der} {where.at} ist genau {width.text}" breit.',
     '{what.the} {where.at} is exactly {width.text}" wide.',
     '{what.le} {where.at} mesure exactement {width.text}" de large.'),
    ("name=NAMES folder=FOLDERS file=FILES when=PAST",
     r"{when.text} hat {name.text} die Datei {folder.text}\{file.text} gelöscht.",
     r"{when.text}, {name.text} deleted the file {folder.text}\{file.text}.",
     r"{when.text}, {name.text} a supprimé le fichier {folder.text}\{file.text}."),
]

# German articles: nominative, accusative, dative of each gender.
DER = {"m": ("der", "den", "dem"), "f": ("die", "die", "der"), "n": ("das", "das", "dem")}
EIN = {"m": ("ein", "einen", "einem"), "f": ("eine", "eine", "einer"), "n": ("ein", "ein", "einem")}
# The endings of an adjective behind them.
DER_ENDS = {"m": ("e", "en", "en"), "f": ("e", "e", "en"), "n": ("e", "e", "en")}
EIN_ENDS = {"m": ("er", "en", "en"), "f": ("e", "e", "en"), "n": ("es", "es", "en")}


def capital(text):
    return text[0].upper() + text[1:]


def german_noun(forms, adjective):
    gender, noun, plural, *weak = forms
    other = weak[0] if weak else noun
    phrases = []
    for articles, endings in ((DER, DER_ENDS), (EIN, EIN_ENDS)):
        for article, ending, form in zip(articles[gender], endings[gender], (noun, other, other)):
            phrases.append(f"{article} {adjective[0]}{ending} {form}" if adjective else f"{article} {form}")
    names = ("der", "den", "dem", "ein", "einen", "einem")
    return dict(zip(names, phrases), Der=capital(phrases[0]), rel=DER[gender][0], pl=plural)


def english_noun(forms, adjective):
    noun, plural = forms
    noun = f"{adjective[0]} {noun}" if adjective else noun
    article = "an" if noun[0] in "aeiou" else "a"
    return {"the": f"the {noun}", "The": f"The {noun}", "a": f"{article} {noun}", "noun": noun, "pl": plural}


def elides(text):
    """Whether le, la, de and que lose their vowel before this."""
    return text[0].lower() in "aeiouhâàéèêîôœ"


def french_noun(forms, adjective):
    gender, noun, plural = forms
    if adjective:
        fitting = adjective["mf".index(gender)]
        noun = f"{fitting} {noun}" if len(adjective) == 3 else f"{noun} {fitting}"
    if elides(noun):
        le, au = f"l'{noun}", f"à l'{noun}"
    elif gender == "m":
        le, au = f"le {noun}", f"au {noun}"
    else:
        le, au = f"la {noun}", f"à la {noun}"
    un = f"un {noun}" if gender == "m" else f"une {noun}"
    return {"le": le, "Le": capital(le), "au": au, "un": un, "pl": plural}


NOUNS = (german_noun, english_noun, french_noun)


def forms(kind, language, entry, adjective, agrees):
    """The forms of an entry that patterns name, in one language."""
    if kind in ("PEOPLE", "ANIMALS", "THINGS"):
        return NOUNS[language](entry[language], adjective and adjective[language])
    words = entry[language]
    if kind in ("DEEDS", "MEETINGS", "DOINGS", "HABITS"):
        if LANGUAGES[language] == "fr":
            now, participle, infinitive = words
            return {"now": now, "past": f"a {participle}", "inf": infinitive, "part": participle}
        return dict(zip(("now", "past", "inf", "part"), words))
    if kind in ("MOODS", "COLOURS"):
        if LANGUAGES[language] == "fr":
            return {"text": words["mf".index(agrees[language][0])]}
        return dict(zip(("text", "more"), words))
    if kind == "PLACES":
        return {"at": words[0], "to": words[1]}
    if kind == "WEATHER":
        return {"now": words[0], "past": words[1], "que": f"qu'{words[1]}" if elides(words[1]) else f"que {words[1]}"}
    return {"text": words[0], "de": f"d'{words[0]}" if elides(words[0]) else f"de {words[0]}"}


def entries(text):
    if "|" not in text:
        return [((word,),) * 3 for word in text.split()]
    return [tuple(tuple(part.strip().split(", ")) for part in line.split("|")) for line in text.strip().splitlines()
            if line]


LISTS = {name: entries(text) for name, text in list(globals().items()) if name.isupper() and isinstance(text, str)}


def skewed(rng, items):
    """One of the items, the earlier ones more often: weights as of Zipf's law, its head flattened."""
    return rng.choices(items, [1.0 / (rank + 4.0) for rank in range(len(items))])[0]


def sentence(rng):
    """A sentence drawn from the patterns and lists, as a tuple in the order of LANGUAGES."""
    slots, *texts = skewed(rng, PATTERNS)
    drawn, parts = {}, []
    for slot in slots.split():
        name, kind = slot.split("=")
        kind, _, noun = kind.partition("/")
        kind, _, adjectives = kind.partition("+")
        entry = skewed(rng, LISTS[kind])
        # A sentence has no word twice.
        while entry in drawn.values():
            entry = skewed(rng, LISTS[kind])
        drawn[name] = entry
        parts.append((name, kind, entry, adjectives and skewed(rng, LISTS[adjectives]), drawn.get(noun)))
    done = []
    for language, text in enumerate(texts):
        fields = {name: SimpleNamespace(**forms(kind, language, entry, adjective, agrees))
                  for name, kind, entry, adjective, agrees in parts}
        done.append(capital(text.format(**fields)))
    return tuple(done)
