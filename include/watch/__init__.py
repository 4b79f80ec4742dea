"""watch_stream: measure what is seen of a stream, judge it, decide the repair, keep and report what was found."""
