"""What scripts of tests say of calls that must fail; `Account::python` and `Account::at_node` let every script import it."""

from botocore.exceptions import ClientError


def refused(code, call, **arguments):
    """Makes a call that AWS must refuse with this error code."""
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return
    raise AssertionError(f"{code} was expected of {arguments}")
