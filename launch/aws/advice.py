"""What to do about what AWS says: by its error codes, by its words, by the classes of boto3's own errors.

The codes are those of the API references (common errors, SageMaker, Amazon S3). A ValidationException has one code for
all mistakes, so it is known by words that SageMaker has been seen to use; what matches none gets general advice.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Advice(NamedTuple):
    """The second half of an error: what is allowed, and what to do."""

    allowed: str
    hint: str


_LOGIN = "log in again: aws sso login, aws login or new keys, until aws sts get-caller-identity answers"
_NO_KEYS = Advice(
    "credentials by the environment, a profile or a role",
    "log in: aws configure or aws sso login, AWS_PROFILE=NAME for a profile, until aws sts get-caller-identity answers",
)
_EXPIRED = Advice("credentials that are valid now", _LOGIN)
_WRONG_KEYS = Advice("credentials that AWS knows", f"check the keys and the clock of this machine, or {_LOGIN}")
_THROTTLED = Advice("fewer requests at once", "wait a minute and run it again; sagemaker.poll_s=30 asks less often")
_NETWORK = Advice("an answer", "check the network, the proxy, the region and AWS_ENDPOINT_URL, then run it again")
_REGION = Advice(
    "a region, such as us-east-1",
    "set AWS_REGION or one in the profile; in a config sagemaker.region=REGION, elsewhere --region REGION",
)
_NAME_TAKEN = Advice("a name of its own", "run it again: each launch makes a new name")
_EXISTS = Advice("a name of its own", "choose another name, or delete what has it")
_NO_BUCKET = Advice("a bucket that exists", "set sagemaker.bucket, or make one: aws s3 mb s3://BUCKET")
_OTHER_REGION = Advice("a bucket in the region of the job", "set sagemaker.region or sagemaker.bucket")
_NO_SUCH = Advice("what this account has in this region", "check the name, AWS_PROFILE and sagemaker.region")
_PROFILE = Advice("a profile in ~/.aws/config", "set AWS_PROFILE to a name that aws configure list-profiles prints")
_SETTINGS = Advice("settings that boto3 can use", "correct ~/.aws/config, ~/.aws/credentials or the AWS_ variables")
_FORM = Advice("a request of the API's form", "correct what it names; python -m launch.plan shows the request")
_ROLE = Advice(
    "a role that exists and trusts sagemaker.amazonaws.com",
    "set sagemaker.role=arn:aws:iam::ACCOUNT:role/NAME, or correct the role's trust policy in IAM",
)
_DATA = Advice(
    "files below the prefix, in a bucket that the role may list and read",
    "send them with python -m launch.upload, or correct sagemaker.channels",
)
_IMAGE = Advice(
    "an image that exists and that the role may pull",
    "set sagemaker.image=URI, or allow the role ecr:BatchGetImage and ecr:GetDownloadUrlForLayer",
)
_INSTANCE = Advice("an instance type of this region", "set sagemaker.instance_type")

SERVER = Advice("an answer", "AWS has a problem of its own, see health.aws.amazon.com: run it again later")
OTHER = Advice("what the service takes", "correct what it names; python -m launch.plan checks a request offline")

#: The codes that say: not allowed.
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden", "403")
#: The code that says: above a quota.
OVER_QUOTA = "ResourceLimitExceeded"
#: Advice by the code of an answer.
BY_CODE = {
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"), _WRONG_KEYS),
    **dict.fromkeys(("SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"), _WRONG_KEYS),
    **dict.fromkeys(("InvalidToken", "AuthFailure", "RequestTimeTooSkewed"), _WRONG_KEYS),
    **dict.fromkeys(("MissingAuthenticationToken", "MissingAuthenticationTokenException"), _NO_KEYS),
    **dict.fromkeys(("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled"), _THROTTLED),
    **dict.fromkeys(("TooManyRequestsException", "RequestLimitExceeded", "SlowDown", "429"), _THROTTLED),
    **dict.fromkeys(("PermanentRedirect", "AuthorizationHeaderMalformed", "301"), _OTHER_REGION),
    "IllegalLocationConstraintException": _OTHER_REGION,
    **dict.fromkeys(("ResourceNotFound", "ResourceNotFoundException", "NoSuchKey", "404"), _NO_SUCH),
    "NoSuchBucket": _NO_BUCKET,
    "ResourceInUse": _NAME_TAKEN,
}
#: Advice by the words of a ValidationException; the first that match.
BY_WORDS = (
    (re.compile("already exist"), _EXISTS),
    (re.compile("assume (the )?role"), _ROLE),
    (re.compile("No S3 objects"), _DATA),
    (re.compile("registry ID|[Rr]epository|[Ii]mage"), _IMAGE),
    (re.compile("[Ii]nstance ?[Tt]ype"), _INSTANCE),
    (re.compile("[Rr]egion"), _OTHER_REGION),
    (re.compile("not found|[Cc]ould not find|does not exist"), _NO_SUCH),
)
#: Advice by the class of an error of boto3's or botocore's own, or by a parent of it.
BY_CLASS = {
    **dict.fromkeys(("NoCredentialsError", "PartialCredentialsError", "NoAuthTokenError"), _NO_KEYS),
    **dict.fromkeys(("CredentialRetrievalError", "MetadataRetrievalError"), _NO_KEYS),
    **dict.fromkeys(("TokenRetrievalError", "SSOError", "LoginError", "RefreshWithMFAUnsupportedError"), _EXPIRED),
    **dict.fromkeys(("NoRegionError", "InvalidRegionError", "UnknownRegionError"), _REGION),
    **dict.fromkeys(("UnknownEndpointError", "EndpointProviderError"), _REGION),
    **dict.fromkeys(("HTTPClientError", "ConnectionError", "IncompleteReadError"), _NETWORK),
    **dict.fromkeys(("ConfigParseError", "ConfigNotFound", "InvalidConfigError"), _SETTINGS),
    **dict.fromkeys(("InvalidRetryConfigurationError", "MissingDependencyException"), _SETTINGS),
    **dict.fromkeys(("ParamValidationError", "InvalidDNSNameError"), _FORM),
    "ProfileNotFound": _PROFILE,
}
#: What allows an operation of S3 where it is named otherwise (Service Authorization Reference, Amazon S3).
_S3_ACTIONS = {
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    **dict.fromkeys(("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"), "PutObject"),
}
_ACTION = re.compile(r"not authorized to perform: ([\w:*-]+)(?: on resource: (\S+))?")
_QUOTA = re.compile(r"limit (?:'([^']+)'|for (\S+)) is")


def denied(message: str, operation: str) -> Advice:
    """Advice that names the missing action: that of AWS's message, or the operation's in S3, which may name none.

    >>> denied("User: me is not authorized to perform: iam:PassRole on resource: role/x because ...", "").allowed
    'the action iam:PassRole on role/x'
    >>> denied("Access Denied", "HeadObject").allowed
    'the action s3:GetObject'
    """
    found = _ACTION.search(message)
    action = found[1] if found else f"s3:{_S3_ACTIONS.get(operation, operation)}"
    where = f" on {found[2]}" if found and found[2] else ""
    return Advice(f"the action {action}{where}", f"have {action} allowed to you in IAM, or use another AWS_PROFILE")


def over_quota(message: str) -> Advice:
    """Advice that names the quota, as AWS's message does.

    >>> over_quota("The account-level service limit 'ml.g5.xlarge for training job usage' is 0 Instances, ...").allowed
    "what the quota 'ml.g5.xlarge for training job usage' leaves"
    """
    found = _QUOTA.search(message)
    name = f" '{found[1] or found[2]}'" if found else ""
    return Advice(
        f"what the quota{name} leaves",
        f"request an increase in the Service Quotas console, Amazon SageMaker{name}; or wait for other jobs to end, "
        "or set sagemaker.instance_type",
    )
