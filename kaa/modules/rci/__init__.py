"""RCI, REST command invocation: commands over HTTP for those who want the result with the answer, or posted to them."""
