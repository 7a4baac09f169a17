"""Shows a port of the VM in a cell; here the frame alone is shown."""

from google.colab.calls import note
from IPython.display import HTML, display


def serve_kernel_port_as_iframe(port, path="/", width="100%", height="400", cache_in_notebook=False):
    note("serve_kernel_port_as_iframe", port=port, path=path)
    display(HTML(f'<iframe src="http://127.0.0.1:{port}{path}" width="{width}" height="{height}"></iframe>'))


def eval_js(script, ignore_result=False, timeout_sec=None):
    note("eval_js", script=script)
