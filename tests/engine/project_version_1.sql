BEGIN TRANSACTION;
CREATE TABLE classes (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        is_positive INTEGER NOT NULL DEFAULT 0,
        is_left_out INTEGER NOT NULL DEFAULT 0,
        merged_into INTEGER REFERENCES classes (id)
    );
INSERT INTO "classes" VALUES(1,'normal',0,0,NULL);
INSERT INTO "classes" VALUES(2,'effusion',0,0,NULL);
CREATE TABLE evaluations (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs (id),
        at REAL NOT NULL,
        result TEXT NOT NULL
    );
CREATE TABLE label_history (
        id INTEGER PRIMARY KEY,
        batch INTEGER NOT NULL,
        at REAL NOT NULL,
        who TEXT NOT NULL,
        subject TEXT NOT NULL CHECK (subject IN ('record', 'class')),
        subject_id INTEGER NOT NULL,
        field TEXT NOT NULL,
        old,
        new,
        state TEXT NOT NULL DEFAULT 'done' CHECK (state IN ('done', 'undone', 'dropped'))
    );
INSERT INTO "label_history" VALUES(1,1,1.79582458546196484564e+09,'user','record',1,'class_id',1,2,'done');
INSERT INTO "label_history" VALUES(2,2,1.79582458546240186694e+09,'user','record',4,'exclusion',NULL,'blurred','done');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('data_revision','3');
INSERT INTO "meta" VALUES('name','v1');
INSERT INTO "meta" VALUES('salt','fdcbdc0cd82c41d0edaa818acca08f7f69ba04ce71fa20716f6971fcba7712be');
CREATE TABLE patients (
        id INTEGER PRIMARY KEY,
        hash TEXT NOT NULL UNIQUE,
        origin TEXT NOT NULL CHECK (origin IN ('patient', 'study', 'file'))
    );
INSERT INTO "patients" VALUES(1,'fea7f16f164cfd8829a7458804d4124d','patient');
INSERT INTO "patients" VALUES(2,'6948e0a0f166acd9ecaa95dd39db5912','patient');
CREATE TABLE records (
        id INTEGER PRIMARY KEY,
        source_id INTEGER NOT NULL REFERENCES sources (id),
        row INTEGER NOT NULL UNIQUE,
        class_id INTEGER REFERENCES classes (id),
        patient_id INTEGER NOT NULL REFERENCES patients (id),
        split TEXT CHECK (split IN ('train', 'val', 'test')),
        exclusion TEXT,
        study TEXT,
        frame INTEGER NOT NULL,
        format TEXT NOT NULL,
        modality TEXT NOT NULL,
        photometric TEXT NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        bits INTEGER NOT NULL,
        window_center REAL,
        window_width REAL,
        view TEXT,
        sex TEXT,
        age REAL,
        device TEXT,
        n_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        path TEXT NOT NULL,
        dicom TEXT NOT NULL,
        UNIQUE (source_id, path, frame)
    );
INSERT INTO "records" VALUES(1,1,0,2,1,NULL,NULL,NULL,0,'DICOM','DX','',64,48,12,NULL,NULL,'PA','F',41.0,'Simulated',0,0,'0000000000000000000000000000000000000000000000000000000000000000','a/image 0.dcm','{"Modality": "DX"}');
INSERT INTO "records" VALUES(2,1,1,2,1,NULL,NULL,NULL,0,'DICOM','DX','',64,48,12,NULL,NULL,'PA','F',41.0,'Simulated',0,0,'0000000000000000000000000000000000000000000000000000000000000001','b/image 1.dcm','{"Modality": "DX"}');
INSERT INTO "records" VALUES(3,1,2,1,2,NULL,NULL,NULL,0,'DICOM','DX','',64,48,12,NULL,NULL,'PA','F',41.0,'Simulated',0,0,'0000000000000000000000000000000000000000000000000000000000000002','a/image 2.dcm','{"Modality": "DX"}');
INSERT INTO "records" VALUES(4,1,3,2,2,NULL,'blurred',NULL,0,'DICOM','DX','',64,48,12,NULL,NULL,'PA','F',41.0,'Simulated',0,0,'0000000000000000000000000000000000000000000000000000000000000003','b/image 3.dcm','{"Modality": "DX"}');
CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        created REAL NOT NULL,
        state TEXT NOT NULL,
        config TEXT NOT NULL,
        preset TEXT NOT NULL,
        backbone TEXT NOT NULL,
        method TEXT NOT NULL,
        data_digest TEXT NOT NULL,
        split_digest TEXT NOT NULL,
        val_auroc REAL,
        epochs INTEGER NOT NULL DEFAULT 0,
        seconds REAL NOT NULL DEFAULT 0,
        error TEXT,
        looks INTEGER NOT NULL DEFAULT 0
    );
CREATE TABLE segments (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        first_row INTEGER NOT NULL,
        last_row INTEGER NOT NULL,
        n_rows INTEGER NOT NULL,
        rows BLOB,
        file TEXT NOT NULL UNIQUE,
        shape TEXT NOT NULL,
        dtype TEXT NOT NULL
    );
CREATE TABLE skipped (
        source_id INTEGER NOT NULL REFERENCES sources (id),
        path TEXT NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (source_id, path)
    ) WITHOUT ROWID
    ;
CREATE TABLE sources (
        id INTEGER PRIMARY KEY,
        root BLOB NOT NULL,
        root_from_project BLOB,
        kind TEXT NOT NULL,
        added REAL NOT NULL
    );
INSERT INTO "sources" VALUES(1,X'2F6E6F77686572652F696D61676573',X'2E2E2F2E2E2F2E2E2F6E6F77686572652F696D61676573','folder',1.7958245854595451355e+09);
CREATE TABLE split (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        at REAL NOT NULL,
        summary TEXT NOT NULL,
        usable_digest TEXT NOT NULL
    );
CREATE INDEX records_by_class ON records (class_id, exclusion, patient_id);
CREATE INDEX records_by_patient ON records (patient_id);
CREATE INDEX records_by_split ON records (split, exclusion);
CREATE INDEX label_history_by_state ON label_history (state, batch);
CREATE INDEX segments_by_kind ON segments (kind);
COMMIT;
