"""Does a clip sound like its prompt? Judges with one interface (`base.TextJudge`); each names its own column."""
