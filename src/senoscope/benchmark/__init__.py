"""The honest benchmark: who is tested on what, the runs, their results, and the leaderboard made of them."""
