-- Records what PostgreSQL makes of texts of every type: the text it prints, the bytes it sends, the error it raises.
-- psql -qAtX -f record.sql > values.tsv   (PostgreSQL 15, database encoding UTF8)
-- Columns: settings, type, input, printed text, binary form in hex, SQLSTATE, message, hint; in COPY's text form.
SET client_min_messages = warning;
CREATE TEMP TABLE recorded (id serial, settings text, type text, input text, printed text, sent text, state text, message text, hint text);

CREATE FUNCTION pg_temp.record_value(settings text, typ text, input text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE printed text; sent text; state text; message text; hint text; sender text; printer text;
BEGIN
  SELECT typsend::text, typoutput::text INTO sender, printer FROM pg_type WHERE oid = typ::regtype;
  BEGIN
    EXECUTE format('SELECT %s(v.x)::text, encode(%s(v.x), ''hex'') FROM (SELECT %L::%s) v(x)', printer, sender, input, typ) INTO printed, sent;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
  END;
  INSERT INTO recorded (settings, type, input, printed, sent, state, message, hint)
  VALUES (settings, typ, input, printed, sent, state, message, nullif(hint, ''));
END $$;

CREATE FUNCTION pg_temp.record(settings text, types text[], inputs text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE pair text; typ text; input text;
BEGIN
  FOREACH pair IN ARRAY string_to_array(settings, ';') LOOP
    PERFORM set_config(split_part(pair, '=', 1), split_part(pair, '=', 2), false);
  END LOOP;
  FOREACH typ IN ARRAY types LOOP FOREACH input IN ARRAY inputs LOOP
    PERFORM pg_temp.record_value(settings, typ, input);
  END LOOP; END LOOP;
END $$;

\o /dev/null
\set iso 'datestyle=ISO, MDY;timezone=UTC;intervalstyle=postgres;bytea_output=hex;extra_float_digits=1'

SELECT pg_temp.record(:'iso', '{bool}', ARRAY['t','f','true','false','TRUE','tr','y','yes','n','no','on','off','of','o','1','0',' true ','2','','tru e','11']);
SELECT pg_temp.record(:'iso', '{int2,int4,int8,oid}', ARRAY['0','1','-1','+7',' 42 ','32767','32768','-32768','-32769','2147483647','2147483648','-2147483648','-2147483649','9223372036854775807','9223372036854775808','-9223372036854775808','-9223372036854775809','4294967295','4294967296','','-','1.0','1e3','0x10','1_000','x','1 2','99999999999999999999999','- 1','007',E'\t5\n']);
SELECT pg_temp.record(:'iso', '{float4,float8}', ARRAY['0','-0','1','1.5','-2.25','1e10','1e15','1e16','123456789.123','1e-5','0.0001','NaN','nan','Infinity','-Infinity','inf','-inf','+inf','infinity',' 3.5 ','1e400','1e-400','-1e400','1e39','1e-50','3.4028235e38','1.17549435e-38','','x','1.2.3','1e','.5','5.','.','1e+5','4.9e-324','infinit','1 2','0e500']);
SELECT pg_temp.record(:'iso', '{numeric}', ARRAY['0','0.0','-0.00','1','1.50','-1.50','100','10000','0.0001','0.00010000','123456789.987654321','-99999999999999999999999999999999999999','12345678901234567890123456789012345678.5','1e5','1.5e3','1.5e-3','1E+2','.5','5.','0.5e1',' 7 ','','x','-','1.2.3','1e','1 2','1e131073','1e-16384','9999','99990000','0.9999','0.00009999','1000000','1e10','0e10','00012','12345.678e-10']);
SELECT pg_temp.record(:'iso', '{text,varchar,bpchar,json}', ARRAY['1','"a b"','{"a": [1, 2.50, null], "b":{}}',' [1] ','true']);
SELECT pg_temp.record(:'iso', '{json}', ARRAY['','x','{','[1,]','{"a"}','nul','01','"\x"','1 2']);
SELECT pg_temp.record(:'iso', '{name}', ARRAY['abc','','a b',repeat('x', 70),repeat('é', 40)]);
SELECT pg_temp.record(:'iso', '{"\"char\""}', ARRAY['a','abc','','\101']);
SELECT pg_temp.record(:'iso', '{bytea}', ARRAY['\xDEADbeef','\x','','abc','a\\b','\001\377','\x1','\xzz','\9','\x 01 02','a\','\400']);
SELECT pg_temp.record('bytea_output=escape', '{bytea}', ARRAY['\xDEADbeef','\x','abc','\x5c00207e7f80']);
SELECT pg_temp.record(:'iso', '{uuid}', ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11','A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11','{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}','a0eebc999c0b4ef8bb6d6bb9bd380a11','a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11','','a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1','{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11','a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 ','g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']);

-- Dates and times.
SELECT pg_temp.record(:'iso', '{date,timestamp,timestamptz}', ARRAY['2001-02-03','2001-2-3','20010203','010203','2001.034','2001-034','2001034','Feb 3, 2001','3 Feb 2001','February 3 2001','3-Feb-2001','Feb-3-2001','2001-Feb-3','99-01-02','1/2/2003','13/2/2003','2003/1/2','1.2.2003','1-2-03','1/2/70','1/2/69','j2451187','J2451187.5','julian 2451187','infinity','-infinity','epoch','Infinity','0044-03-15 BC','March 15, 44 BC','0001-01-01','0000-01-01','4714-11-24 BC','4714-11-23 BC','294246-12-31','294277-01-01','5874897-12-31','5874898-01-01','2000-02-29','1900-02-29','2001-02-29','2001-13-01','2001-00-01','2001-01-00','2001-01-32','','x','2001','2001-02','Monday','Mon Feb 3 2001','2001-02-03 AD','12345-06-07','today x','10/11','feb 2001','3 4 5','  2001-02-03  ','2001-02-03,','2001_02_03','Sept 5 2001','1 2 3 4','20010203T040506','2001-W01','99999999','inf','now now','Mon 2001-02-03','2001-02-03 Mon','AD 2001-02-03','04:05 20010203','UTC 2001-02-03','31 June 2001','04:05']);
SELECT pg_temp.record('datestyle=ISO, DMY', '{date}', ARRAY['1/2/2003','13/2/2003','2/13/2003','1.2.2003','1-2-03','Feb 3 01','3 Feb 01','010203','2001-02-03']);
SELECT pg_temp.record('datestyle=ISO, YMD', '{date}', ARRAY['1/2/2003','13/2/03','03-02-01','1-2-3','Feb 3 01','3 Feb 01','01 Feb 03','010203','2001-02-03','Feb 3 2001']);
SELECT pg_temp.record(:'iso', '{timestamp,timestamptz}', ARRAY['2001-02-03 04:05:06','2001-02-03 04:05','2001-02-03T04:05:06.789','2001-02-03 04:05:06.7891234','2001-02-03 04:05:06.1234565','2001-02-03 04:05:06.1234575','2001-02-03 04:05:06.000001','2001-02-03 04:05:06.9999999','2001-02-03 24:00:00','2001-02-03 24:00:01','2001-02-03 25:00','2001-02-03 04:60','2001-02-03 04:05:60','2001-02-03 04:05:61','2001-02-03 12:00 AM','2001-02-03 12:00 PM','2001-02-03 1:30 pm','2001-02-03 13:30 pm','2001-02-03 04:05:06+08','2001-02-03 04:05:06 -05:30','2001-02-03 04:05:06+0530','2001-02-03 04:05:06 +05:30:15','2001-02-03T04:05:06Z','2001-02-03 04:05:06 EST','2001-02-03 04:05:06 America/New_York','2001-07-03 04:05:06 America/New_York','2001-07-03 04:05:06 europe/paris','2001-02-03 04:05:06 UTC','2001-02-03 04:05:06 foo','2001-02-03 04:05:06 Foo/Bar','2001-02-03 04:05:06+16','2001-02-03 04:05:06+15:59','2001-02-03 04:05:06+08:60','Sat Feb 03 04:05:06 2001','Sat Feb 03 04:05:06.789 2001 PST','03-FEB-2001 04:05:06','20010203 040506','20010203T040506.789','20010203T040506Z','20010203T0405','20010203 040506-08','2001-02-03 04:05:06 BC','2001-02-03 04:05:06 EDT','2001-02-03 04:05:06 JST','2001-02-03 04:05:06 MET DST','294246-12-31 23:59:59.999999','4714-11-24 00:00:00 BC','1999-12-31 23:59:59.999999','1969-12-31 23:59:59.5','2001-02-03 at 04:05','2001-02-03 allballs','2001-02-03 4','2001-02-03 -4','2001-02-03 04:05:06 +','04:05:06 2001-02-03','2001-02-03 04:05:06 04:05:06','2001-02-03 singapore 04:05','2001-02-03 04:05:06.','2001-02-03 ::','2001-02-03 1:2:3','10000-01-01 00:00:00','99999-12-31 12:34:56','2001-02-03 04:05:06 UTC+3','2001-02-03 05:06.5','2001-02-03 255823','2001-02-03 1561','32 jul 2001','99 December 11','44810406061055','apr-14-2001Z','2001-jan-06103102Z','sept-5-1999T11:19','2001-02-03--','2001-02-03 -161999-09-20','04:05 -1622:50 2001-02-03','18041110 .5','1999.076 243154','j2965437T244138']);
SELECT pg_temp.record('timezone=America/New_York', '{timestamptz}', ARRAY['2001-02-03 04:05:06','2001-07-03 04:05:06','2021-03-14 01:59:59','2021-03-14 02:30:00','2021-03-14 03:00','2021-11-07 00:59','2021-11-07 01:30','2021-11-07 02:00','1800-01-01 00:00','1883-11-18 12:03:57','1883-11-18 12:03:58','2050-07-01 12:00','2150-07-01 12:00','9999-07-01 12:00','0044-03-15 BC','infinity','epoch','1945-08-14 20:00','2001-02-03 04:05:06+05:30','2007-03-11 02:59','j2451187']);
SELECT pg_temp.record('timezone=Asia/Kolkata', '{timestamptz}', ARRAY['2001-02-03 04:05:06','1900-01-01 00:00','1942-09-01 12:00','epoch']);
SELECT pg_temp.record('timezone=Europe/Paris', '{timestamptz}', ARRAY['1930-01-01 00:00','1800-01-01 00:00','2020-06-01 12:00']);
SELECT pg_temp.record('timezone=-8', '{timestamptz}', ARRAY['2001-02-03 04:05:06','2001-07-03 04:05:06 UTC']);
SELECT pg_temp.record('timezone=+05:30', '{timestamptz}', ARRAY['2001-02-03 04:05:06']);
SELECT pg_temp.record(:'iso', '{time}', ARRAY['04:05','04:05:06','04:05:06.789','04:05:06.1234567','040506','0405','040506.789','4:05 PM','12:00 AM','12:30 am','24:00','24:00:01','23:59:60','23:59:61','25:00','-1:00','','x','04:05:06+08','04:05 UTC','04:05:06.','2001-02-03 04:05:06','allballs','4','T040506','04:05:06 am','13:00 pm','1:2:3','00:00:00.0000001','1999-08-24T15:01:52','2/20/0044T103421-0530','15:1 EST5EDT','feb 4 1999 9:54','380825 11:33:43','T2439','may-03-0518:57:26+02','today 04:05','10:10 asia/tokyo']);

\set sql 'datestyle=SQL, MDY;timezone=America/New_York'
\set values '''2001-02-03 04:05:06.789 UTC'', ''2001-07-03 04:05:06 UTC'', ''0044-03-15 12:00 BC'', ''infinity'', ''12345-06-07 00:00'', ''1800-01-01 00:00'''
SELECT pg_temp.record('datestyle=SQL, MDY;timezone=America/New_York', '{date,timestamp,timestamptz}', ARRAY[:values]);
SELECT pg_temp.record('datestyle=SQL, DMY', '{date,timestamp,timestamptz}', ARRAY[:values]);
SELECT pg_temp.record('datestyle=Postgres, MDY', '{date,timestamp,timestamptz}', ARRAY[:values]);
SELECT pg_temp.record('datestyle=Postgres, DMY', '{date,timestamp,timestamptz}', ARRAY[:values]);
SELECT pg_temp.record('datestyle=German, DMY', '{date,timestamp,timestamptz}', ARRAY[:values]);
SELECT pg_temp.record('datestyle=German, DMY;timezone=America/Sao_Paulo', '{timestamptz}', ARRAY['2001-02-03 04:05:06']);
SELECT pg_temp.record('datestyle=Postgres, MDY;timezone=-8', '{timestamptz}', ARRAY['2001-02-03 04:05:06']);

-- Intervals.
\set spans '''0'', ''1 year 2 mons 3 days 04:05:06.789'', ''-1 year -2 mons +3 days -04:05:06'', ''1 day -00:00:01'', ''-1 day'', ''1 mon -1 day'', ''100 years'', ''1000000 hours'', ''0.5 sec'', ''-0.5 sec'', ''1 sec'', ''-1 sec'', ''1 year'', ''-1 mon'', ''1 day 1 hour'', ''-1 day -1 hour'', ''12 mons'', ''13 mons -1 days +00:00:01'', ''1 min 1 sec'', ''-00:00:00.000001'', ''-1 year 1 sec'', ''1 hour -1 sec'''
SELECT pg_temp.record('intervalstyle=postgres;datestyle=ISO, MDY;timezone=UTC', '{interval}', ARRAY[:spans]);
SELECT pg_temp.record('intervalstyle=postgres_verbose', '{interval}', ARRAY[:spans]);
SELECT pg_temp.record('intervalstyle=iso_8601', '{interval}', ARRAY[:spans]);
SELECT pg_temp.record('intervalstyle=sql_standard', '{interval}', ARRAY['0','1-2','1-2 3 4:05:06','-1-2','-1 4:05:06','1 4:05:06','4:05:06','-4:05:06','+1-2 -3 +4:05:06','1 year 1 day','-1 year 2 days','-1 2:03','1 day']);
SELECT pg_temp.record('intervalstyle=postgres', '{interval}', ARRAY['1','1.5','-1','1:02','1:02:03','1:02:03.5','-1:02:03','+1:02','100:00:00','1 day 2:03','1-2','-1-2','1-2 3 4:05:06','1-12','P1Y2M3DT4H5M6S','P1Y','PT5M','P1M','PT1.5S','P-1D','P1W','P0001-02-03T04:05:06','P1','P','PT','1 week','1.5 weeks','2 weeks ago','1 day ago','@ 1 minute','1 month 1.5 days','1.5 months','1.5 years','0.1 year','1 decade','1 century','1 millennium','1 c','3 d','3 h 5 m 7 s','7 us','8 ms','1 day 1 day','1 foo','','x','1 2 3','178000000 years','178956971 years','2147483647 days','2147483648 days','99999999999 days','1 day 24:61','1.123456789 sec','1 day 1','5 minutes 3','1 quarter','yesterday','1 months 2 mon','1e3 sec','1 hour 30 min','1hour','1y2mon','2 hrs 3 mins 4 secs','-1 day 2 hours','ago','1 ago','PT0','P1YT','P1DT2H3','P0001-02','2147483647 mons 1 mon','178956970 years 8 mons','-2147483648 mons','300000000 years','1 day ago 2 days','00:00:01 ago','1 usecond','1.5 hours','-1.5 days','1.3 mons','10 microseconds','10 milliseconds 5 sec','infinity','-5-2 ago','583081days 11-0 ago','-22-13 ago','@ -6:2 +0.3week','+18:61','P+0.25M','12:30:13 +0.3d ago','2.25 days 04:05']);

-- Arrays.
SELECT pg_temp.record(:'iso', '{int4[],int8[]}', ARRAY['{}','{1,2,3}','{1,NULL,3}','{{1,2},{3,4}}','{{{1},{2}}}',' { 1 , 2 } ','{{},{}}','{{}}','{1,{2}}','{{1},{2,3}}','','x','{1','{1}}','{a}','{1,}','{"1"}','{99999999999999999999}','{{1,NULL},{3,4}}']);
SELECT pg_temp.record(:'iso', '{text[]}', ARRAY['{}','{a,b}','{"a b",c}','{"",x}','{NULL,"NULL",null}','{"a\"b","c\\d"}','{"{}","a,b"}','{a\,b}','{é,日本}','{" x "}',E'{"a\nb"}','{{a,"b c"},{NULL,d}}','{a"b"}','{"a"b}']);
SELECT pg_temp.record(:'iso', '{bool[]}', ARRAY['{t,f,NULL}']);
SELECT pg_temp.record(:'iso', '{float8[]}', ARRAY['{1.5,NaN,-Infinity,1e20}']);
SELECT pg_temp.record(:'iso', '{numeric[]}', ARRAY['{1.50,2.00,-3.25}','{}']);
SELECT pg_temp.record(:'iso', '{date[]}', ARRAY['{2001-02-03,"0044-03-15 BC",infinity}']);
SELECT pg_temp.record(:'iso', '{timestamp[]}', ARRAY['{"2001-02-03 04:05:06",NULL}']);
SELECT pg_temp.record(:'iso', '{timestamptz[]}', ARRAY['{"2001-02-03 04:05:06+02"}']);
SELECT pg_temp.record(:'iso', '{interval[]}', ARRAY['{"1 day",04:05:06}']);
SELECT pg_temp.record(:'iso', '{bytea[]}', ARRAY[E'{"\\\\x0102",NULL}']);
SELECT pg_temp.record(:'iso', '{uuid[]}', ARRAY['{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}']);
SELECT pg_temp.record(:'iso', '{name[],oid[]}', ARRAY['{1,2}']);
SELECT pg_temp.record(:'iso', '{int2vector,oidvector}', ARRAY['','1','1 2 3']);
SELECT pg_temp.record(:'iso', '{time[]}', ARRAY['{04:05,NULL}']);
SELECT pg_temp.record(:'iso', '{json[]}', ARRAY['{"{\"a\": 1}",2}']);
\o
COPY (SELECT settings, type, input, printed, sent, state, message, hint FROM recorded ORDER BY id) TO STDOUT;
