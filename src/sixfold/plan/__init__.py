"""What a run will do and take: candidates, rules, the forecast of memory, time and disk."""
