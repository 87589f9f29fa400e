"""The exceptions that Spark raises: those of PySpark, and those of its bridge to Java.

Errors of Java itself, such as those of a filesystem, arrive as the bridge (Py4J) raises them. A
client of Spark Connect alone has no bridge.
"""

from __future__ import annotations

from pyspark.errors import PySparkException

LOADING_ERRORS: tuple[type[Exception], ...] = (PySparkException,)  # the process of Java lives
NETWORK_ERRORS: tuple[type[Exception], ...] = (ConnectionError,)
SPARK_ERRORS: tuple[type[Exception], ...] = (PySparkException,)

try:
    from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
except ModuleNotFoundError:
    pass
else:
    LOADING_ERRORS = (*LOADING_ERRORS, Py4JJavaError)
    NETWORK_ERRORS = (*NETWORK_ERRORS, Py4JNetworkError)
    SPARK_ERRORS = (*SPARK_ERRORS, Py4JError)

# What putting things back raises after a failure, where the process of Java may have ended: that
# failure is the one to report.
CLEANUP_ERRORS = (*SPARK_ERRORS, *NETWORK_ERRORS)
