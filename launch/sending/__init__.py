"""From a composed config to a job: what it takes, what it costs, sent once, and brought back."""
