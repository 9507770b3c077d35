"""Audio as clips for an audit: decoding, preparation, corpora, splits, duplicates."""
