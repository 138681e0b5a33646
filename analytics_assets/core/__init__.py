"""What a table is: declaration, contract, rollup, lineage. No input or output, no domain word."""
