"""The streaming job: fold, merge, commit, takeover. The protocol is design.md section 2."""
