"""The programs of https://stackoverflow.com/q/34009296, question and answers: see README.md."""
