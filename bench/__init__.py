"""Speed and memory of elbeam against stock fairseq on one machine. See README.md here."""
